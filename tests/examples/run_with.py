"""Run a program of docs/examples as ``__main__``: ``run_with.py START_METHOD PROGRAM [argument ...]``."""

from __future__ import annotations

import os
import runpy
import sys

if __name__ == "__main__":
    method, path = sys.argv[1:3]
    sys.argv[:] = sys.argv[2:]
    sys.path[0] = os.path.dirname(os.path.abspath(path))
    import procession

    procession.set_start_method(method)
    runpy.run_path(path, run_name="__main__")
