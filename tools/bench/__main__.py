"""``python tools/bench`` and ``python -m tools.bench``: both import the package as ``bench``."""

from __future__ import annotations

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from bench._cli import main

if __name__ == "__main__":
    sys.exit(main())
