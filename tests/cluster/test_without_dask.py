"""What is said where the package distributed is not installed."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from procession_cluster import ClusterContext
from procession_core import NotSupportedError


@pytest.mark.parametrize(
    "name", ["Pool", "Process", "Queue", "Lock", "RLock", "Semaphore", "Event", "cpu_count"]
)
def test_the_error_names_what_to_install(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    context: Any = ClusterContext()
    with pytest.raises(NotSupportedError, match=r"pip install procession-cluster\[dask\]"):
        getattr(context, name)()


def test_what_a_cluster_cannot_do_is_told_without_dask() -> None:
    context: Any = ClusterContext()
    with pytest.raises(NotSupportedError, match=r"use Queue\(\)"):
        context.Pipe()
    assert context.get_start_method() == "dask"
    assert context.get_context() is context
    assert issubclass(context.TimeoutError, context.ProcessError)
    with pytest.raises(ValueError, match=r"procession\.get_context\('fork'\)"):
        context.get_context("fork")
