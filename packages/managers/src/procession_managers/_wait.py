"""Calls that have to wait, without a thread: a referent parks them and resolves them later."""

from __future__ import annotations

from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Wait:
    """A call that cannot be answered yet. A method returns it instead of a result.

    *caller* is who called, *line* where the wait stands (it leaves it when the time is up); ``on_timeout``
    gives the result then, and ``on_cancel`` is told that nobody waits any more. ``item`` is the referent's.
    The server sets ``answer``, which says whether the caller could be told.
    """

    __slots__ = ("answer", "caller", "deadline", "item", "line", "live", "on_cancel", "on_timeout")

    def __init__(
        self,
        caller: Any,
        timeout: float | None,
        on_timeout: Callable[[Wait], Any] | None = None,
        on_cancel: Callable[[Wait], object] | None = None,
        line: Any = None,
        item: Any = None,
    ) -> None:
        self.caller = caller
        self.deadline = None if timeout is None else monotonic() + timeout
        self.on_timeout = on_timeout
        self.on_cancel = on_cancel
        self.live = True
        self.answer: Callable[[Any, BaseException | None], bool] | None = None
        self.line = line
        self.item = item
        if line is not None:
            line.append(self)

    def resolve(self, value: Any) -> bool:
        """Let the call return *value*; False if nobody waits for it any more."""
        return self._end(value, None)

    def reject(self, error: BaseException) -> bool:
        """Let the call raise *error*; False if nobody waits for it any more."""
        return self._end(None, error)

    def _end(self, value: Any, error: BaseException | None) -> bool:
        if not self.live:
            return False
        self.live = False
        return self.answer is not None and self.answer(value, error)

    def _leave(self) -> None:
        line = self.line
        if line is not None and self in line:
            line.remove(self)

    def expire(self) -> None:
        """The time is up."""
        if self.live and self.on_timeout is not None:
            self._leave()
            try:
                value = self.on_timeout(self)
            except Exception as error:
                self.reject(error)
            else:
                if value is not self:  # else it goes on waiting
                    self.resolve(value)

    def cancel(self) -> None:
        """Nobody waits any more."""
        if self.live:
            self.live = False
            self._leave()
            if self.on_cancel is not None:
                self.on_cancel(self)


def seconds(timeout: Any) -> float | None:
    """Return *timeout* as threading's methods take it: None for ever, negative as zero."""
    if timeout is None:
        return None
    value: float = timeout + 0.0  # float() would take text
    return value if value > 0 else 0.0
