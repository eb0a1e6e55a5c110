from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest


@pytest.fixture
def children():
    """The helpers of tests/shm/children.py."""
    module = sys.modules.get("shm_children")
    if module is None:
        path = Path(__file__).parents[1] / "shm" / "children.py"
        spec = importlib.util.spec_from_file_location("shm_children", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["shm_children"] = module
        spec.loader.exec_module(module)
    return module
