"""Managers for the tests."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import procession_managers
import procession_process

# With importlib mode neighbours are not importable by name, and spawned children import what they run.
_spec = importlib.util.spec_from_file_location("managers_children", Path(__file__).with_name("children.py"))
assert _spec is not None and _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
sys.modules["managers_children"] = _module
_spec.loader.exec_module(_module)


@pytest.fixture(autouse=True)
def _servers_are_forked() -> Iterator[None]:
    """Many of these tests register what only a fork can know; from Python 3.14 on fork is no default any more."""
    before = procession_process.get_start_method(allow_none=True)
    if "fork" in procession_process.get_all_start_methods():
        procession_process.set_start_method("fork", force=True)
    yield
    procession_process.set_start_method(before, force=True)


@pytest.fixture
def manager() -> Iterator[procession_managers.SyncManager]:
    """A started SyncManager."""
    with procession_managers.SyncManager() as started:
        yield started
