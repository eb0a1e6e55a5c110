# requires: emcee>=3.1 numpy
"""emcee's sampler in a Pool."""

from __future__ import annotations

from multiprocessing import Pool

import emcee
import numpy as np


def log_probability(theta):
    return -0.5 * float(np.sum(theta**2))


if __name__ == "__main__":
    np.random.seed(42)
    start = np.random.randn(8, 3)
    with Pool(2) as pool:
        sampler = emcee.EnsembleSampler(8, 3, log_probability, pool=pool)
        sampler.run_mcmc(start, 50)
    print(sampler.get_chain()[-1].round(6).tolist())
