"""Managers for the tests."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import procession_managers

# With importlib mode neighbours are not importable by name, and spawned children import what they run.
_spec = importlib.util.spec_from_file_location("managers_children", Path(__file__).with_name("children.py"))
assert _spec is not None and _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
sys.modules["managers_children"] = _module
_spec.loader.exec_module(_module)


@pytest.fixture
def manager() -> Iterator[procession_managers.SyncManager]:
    """A started SyncManager."""
    with procession_managers.SyncManager() as started:
        yield started
