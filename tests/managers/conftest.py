"""Managers for the tests."""

from __future__ import annotations

from collections.abc import Iterator

import procession_managers
import pytest


@pytest.fixture
def manager() -> Iterator[procession_managers.SyncManager]:
    """A started SyncManager."""
    with procession_managers.SyncManager() as started:
        yield started
