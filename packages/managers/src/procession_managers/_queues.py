"""Queue and JoinableQueue, as a server keeps them."""

from __future__ import annotations

from collections import deque
from queue import Empty, Full

from procession_core import ShutDown

from ._wait import Wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Queue:
    """What ``manager.Queue()`` and ``manager.JoinableQueue()`` stand for: the methods of ``queue.Queue``."""

    _waits_ = frozenset(("get", "get_nowait", "join", "put", "put_nowait"))

    def __init__(self, maxsize: int = 0) -> None:
        self.maxsize = maxsize
        self._items: deque[Any] = deque()
        self._getters: deque[Wait] = deque()
        self._putters: deque[Wait] = deque()
        self._joiners: list[Wait] = []
        self._unfinished = 0
        self._shut = False

    def qsize(self) -> int:
        """Return the number of items."""
        return len(self._items)

    def empty(self) -> bool:
        """Say whether there is no item."""
        return not self._items

    def full(self) -> bool:
        """Say whether there is no room for another item."""
        return 0 < self.maxsize <= len(self._items)

    def put(self, caller: Any, item: Any, block: Any = True, timeout: Any = None) -> Any:
        """Add *item*, or wait for room.

        Raises Full if there was none in time, ShutDown, and ValueError for a negative *timeout*.
        """
        if self._shut:
            raise ShutDown
        if not self.full():
            self._add(item)
            return None
        if not block:
            raise Full
        if timeout is not None and timeout < 0:
            raise ValueError(f"'timeout' must be a non-negative number, not {timeout!r}")
        return Wait(caller, timeout, on_timeout=_full, line=self._putters, item=item)

    def put_nowait(self, caller: Any, item: Any) -> Any:
        """Add *item*. Raises Full if there is no room, ShutDown."""
        return self.put(caller, item, False)

    def _add(self, item: Any) -> None:
        self._unfinished += 1
        getters = self._getters
        while getters:
            if getters.popleft().resolve(item):
                return
        self._items.append(item)

    def get(self, caller: Any, block: Any = True, timeout: Any = None) -> Any:
        """Take the oldest item, or wait for one.

        Raises Empty if there was none in time, ShutDown, and ValueError for a negative *timeout*.
        """
        if self._items:
            item = self._items.popleft()
            if self._putters:
                self._let_in()
            return item
        if self._shut:
            raise ShutDown
        if not block:
            raise Empty
        if timeout is not None and timeout < 0:
            raise ValueError(f"'timeout' must be a non-negative number, not {timeout!r}")
        return Wait(caller, timeout, on_timeout=_empty, line=self._getters)

    def get_nowait(self, caller: Any) -> Any:
        """Take the oldest item. Raises Empty if there is none, ShutDown."""
        return self.get(caller, False)

    def _let_in(self) -> None:
        while self._putters and not self.full():
            wait = self._putters.popleft()
            self._add(wait.item)
            wait.resolve(None)

    def task_done(self) -> None:
        """One item is dealt with. Raises ValueError if called more often than there were items."""
        if self._unfinished <= 0:
            raise ValueError("task_done() called too many times: once for each item that was taken is enough")
        self._unfinished -= 1
        self._check_done()

    def _check_done(self) -> None:
        if not self._unfinished:
            joiners, self._joiners = self._joiners, []
            for wait in joiners:
                wait.resolve(None)

    def join(self, caller: Any) -> Any:
        """Wait until all items are dealt with."""
        if not self._unfinished:
            return None
        return Wait(caller, None, line=self._joiners)

    def shutdown(self, immediate: bool = False) -> None:
        """Let ``put()`` raise ShutDown, and ``get()`` too when (or, with *immediate*, as if) it is empty."""
        self._shut = True
        if immediate:
            self._unfinished -= min(self._unfinished, len(self._items))
            self._items.clear()
            self._check_done()
        putters, self._putters = self._putters, deque()
        for wait in putters:
            wait.reject(ShutDown())
        if not self._items:
            getters, self._getters = self._getters, deque()
            for wait in getters:
                wait.reject(ShutDown())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x} maxsize={self.maxsize} qsize={len(self._items)}>"


def _full(wait: Wait) -> Any:
    raise Full


def _empty(wait: Wait) -> Any:
    raise Empty
