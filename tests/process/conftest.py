"""Fixtures of the process tests."""

from __future__ import annotations

import pytest

import procession_process


@pytest.fixture
def method(start_method):
    """Run the test with each start method as the default one; the choice is undone afterwards."""
    before = procession_process.get_start_method(allow_none=True)
    procession_process.set_start_method(start_method, force=True)
    yield start_method
    procession_process.set_start_method(before, force=True)
