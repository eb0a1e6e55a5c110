"""Run a loop over files in parallel."""

import glob
import os

import procession as mp


def count_words(path):
    with open(path, "rb") as file:
        return path, len(file.read().split())


if __name__ == "__main__":
    paths = sorted(glob.glob(os.path.join(os.path.dirname(os.__file__), "a*.py")))

    # The loop as it was:
    before = dict(map(count_words, paths))

    # The same loop on all processors:
    with mp.Pool() as pool:
        after = dict(pool.imap_unordered(count_words, paths))

    print("the same files:", before.keys() == after.keys())
    print("the same counts:", before == after)
