"""Fixtures of the tests of the queues."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

import procession_queues
from tests.queues.children import Context

KINDS = ("Queue", "JoinableQueue", "SimpleQueue")


@pytest.fixture
def make(start_method: str) -> Any:
    """The classes, made for the start method under test."""
    ctx = Context(start_method)

    def bind(cls: Any) -> Any:
        return lambda *args, **kwargs: cls(*args, ctx=ctx, **kwargs)

    return SimpleNamespace(**{name: bind(getattr(procession_queues, name)) for name in KINDS})


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """The name of a class: what all three can do."""
    return str(request.param)


@pytest.fixture
def queue(kind: str) -> Any:
    """A queue of each kind."""
    return getattr(procession_queues, kind)()
