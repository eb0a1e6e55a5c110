"""Several calls in one message."""

from __future__ import annotations

from ._channel import raise_answer
from ._protocol import BATCH, ERROR, RETURN, TRACEBACK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any


class BatchResult:
    """The outcome of one call of a batch."""

    __slots__ = ("_answer", "_proxy")

    def __init__(self, proxy: Any) -> None:
        self._proxy = proxy
        self._answer: tuple[str, Any] | None = None

    @property
    def value(self) -> Any:
        """What the call returned. Raises what it raised, and RuntimeError before the end of the batch."""
        if self._answer is None:
            raise RuntimeError("the batch has not been sent yet; leave its with block first")
        kind, value = self._answer
        if kind == RETURN:
            return value
        return raise_answer(kind, value)


class Batch:
    """Has the methods of a proxy; they are called at the end of the ``with`` block, in order, in one message.

    An exception in the block sends nothing. Otherwise the block's end raises the first error that a call
    raised; the calls after it have been made all the same.
    """

    def __init__(self, proxy: Any) -> None:
        self._proxy = proxy
        self._calls: list[tuple[str, str, Any, Any]] = []
        self._results: list[BatchResult] = []

    def call(self, methodname: str, *args: Any, **kwds: Any) -> BatchResult:
        """Collect a call of *methodname*."""
        result = BatchResult(self._proxy)
        self._calls.append((self._proxy._id, methodname, args, kwds))
        self._results.append(result)
        return result

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") and not name.endswith("__"):
            raise AttributeError(f"a batch has no method {name!r}; call(proxy, name, ...) takes any name")
        return lambda *args, **kwds: self.call(name, *args, **kwds)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.call("__setitem__", key, value)

    def __getitem__(self, key: Any) -> Any:
        return self.call("__getitem__", key)

    def __delitem__(self, key: Any) -> None:
        self.call("__delitem__", key)

    def __enter__(self) -> Batch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None or not self._calls:
            return
        calls, self._calls = self._calls, []
        results, self._results = self._results, []
        proxy = self._proxy
        link = proxy._link
        if link.marked is None:
            link.channel()
        if link.marked:
            answers = link.request(BATCH, (calls,))
        else:
            channel = link.channel()
            answers = [channel.call(*call) for call in calls]
        for result, (what, value) in zip(results, answers, strict=True):
            if what not in (RETURN, ERROR, TRACEBACK):
                try:
                    what, value = RETURN, proxy._other_answer(what, value)
                except Exception as failed:
                    what, value = ERROR, failed
            result._answer = (what, value)
        for result in results:
            _ = result.value


def make_batch(proxy: Any) -> Batch:
    """Return a batch of calls for *proxy*."""
    return Batch(proxy)
