# requires: scikit-learn>=1.4
"""scikit-learn's grid search with both kinds of process workers."""

from __future__ import annotations

from joblib import parallel_backend
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

if __name__ == "__main__":
    data, target = load_iris(return_X_y=True)
    for backend in ("multiprocessing", "loky"):
        with parallel_backend(backend, n_jobs=2):
            search = GridSearchCV(LogisticRegression(max_iter=500), {"C": [0.1, 1.0, 10.0]}, cv=3)
            search.fit(data, target)
        print(backend, search.best_params_, search.cv_results_["mean_test_score"].round(4).tolist())
