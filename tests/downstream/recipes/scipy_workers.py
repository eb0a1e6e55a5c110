# requires: scipy>=1.11
"""scipy's workers=."""

from __future__ import annotations

from scipy.optimize import brute, differential_evolution, rosen

if __name__ == "__main__":
    result = differential_evolution(rosen, [(0, 2)] * 3, workers=2, updating="deferred", seed=1, maxiter=30)
    print(result.x.round(6).tolist(), result.nfev)
    print(brute(rosen, [(0, 2)] * 2, Ns=8, workers=2, finish=None).round(6).tolist())
