from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

# With importlib mode neighbours are not importable by name; the children's helper is used by two folders.
_spec = importlib.util.spec_from_file_location("shm_children", Path(__file__).with_name("children.py"))
assert _spec is not None and _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
sys.modules["shm_children"] = _module
_spec.loader.exec_module(_module)


@pytest.fixture
def children():
    return _module


@pytest.fixture
def segment():
    """Make SharedMemory objects that are gone after the test."""
    from procession_shm import SharedMemory

    made = []

    def make(*args, **kwargs):
        shm = SharedMemory(*args, **kwargs)
        made.append(shm)
        return shm

    yield make
    for shm in made:
        try:
            shm.close()
        except BufferError:
            pass
        try:
            shm.unlink()
        except FileNotFoundError:
            pass
