"""Fixtures of the tests of the synchronisation objects."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.synchronize.helpers import Threads


class Context:
    """The little that the portable variant asks of a context."""

    def __init__(self, method: str) -> None:
        self._method = method

    def get_start_method(self, allow_none: bool = False) -> str:
        return self._method


@pytest.fixture
def make(start_method: str) -> Any:
    """The classes, made for the start method under test."""
    import procession_synchronize as synchronize

    ctx = Context(start_method)
    names = ("Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", "Event", "Barrier")

    def bind(cls: Any) -> Any:
        return lambda *args, **kwargs: cls(*args, ctx=ctx, **kwargs)

    return SimpleNamespace(**{name: bind(getattr(synchronize, name)) for name in names})


@pytest.fixture
def threads() -> Iterator[Threads]:
    group = Threads()
    yield group
    group.join()
