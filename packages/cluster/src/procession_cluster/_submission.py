"""What is sent for a call, in chunks of its tasks."""

from __future__ import annotations

import operator
import pickle
from functools import partial

from ._outcomes import unpack
from ._remote import run_chunk
from ._sending import submit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._engine import Engine

_BIG = 1 << 20
"""Arguments of this many bytes or more are sent to the cluster once, ahead of the tasks that use them."""

_SIMPLE = frozenset((int, float, bool, type(None)))
"""Items of these types need no cloudpickle, which takes four times as long."""

_LOST = 3
"""How often big arguments are sent again whose only holder has died."""


class Call:
    """What all chunks of a call have in common."""

    def __init__(
        self,
        engine: Engine,
        start: tuple[str, bytes, Any, Any],
        function: Callable[..., Any],
        mode: str,
        limits: dict[str, Any] | None,
    ) -> None:
        import cloudpickle

        self.engine = engine
        self.mode = mode
        self.pickled = cloudpickle.dumps
        self.name = str(getattr(function, "__qualname__", function))
        self._function = (*start, function, mode, limits)
        self._head: bytes | None = None
        self._runner: Any = None
        # id -> (the object, or its id could be given to another one; its future)
        self._known: dict[int, tuple[Any, Any]] = {}

    @property
    def head(self) -> bytes:
        """The pickle of the function and its limits; raises what pickling it raises."""
        if self._head is None:
            self._head = self.pickled(self._function)
        return self._head

    def runner(self) -> Any:
        """Return the future of the function that runs a chunk: sent once, for all chunks."""
        if self._runner is None:
            work = self.pickled(partial(run_chunk, self.head))
            self._runner = self.engine.client.submit(pickle.loads, work, pure=False)
        return self._runner

    def send_ahead(self, value: Any, again: bool = False) -> Any:
        """Return the future of a big argument; it is sent once, however many tasks use it."""
        found = self._known.get(id(value))
        if found is None or (again and found[1].status != "finished"):
            found = self._known[id(value)] = (value, self.engine.client.scatter(value, hash=False))
        return found[1]


class Submission:
    """A chunk of a call's tasks: its items, with the big arguments taken out and sent ahead.

    *done* is called with (seconds, outcomes) in the collector's thread. Raises what pickling raises.
    """

    def __init__(
        self,
        call: Call,
        items: list[Any],
        first: int,
        done: Callable[[float, list[tuple[bool, Any]]], object],
        of_many: bool,
    ) -> None:
        self.call = call
        self.first = first
        self.future: Any = None
        self.over = False
        self.big: list[Any] = []
        self._places: list[tuple[int, Any]] = []
        self._count = len(items)
        self._done = done
        self._of_many = of_many
        self._lost = 0
        call.head  # noqa: B018 - what cannot be pickled is told here, once for each chunk
        simple = call.mode == "one" and _SIMPLE.issuperset(map(type, items))
        data = pickle.dumps((items, []), 5) if simple else call.pickled((self._strip(items), self._places))
        self.data = len(items).to_bytes(4, "little") + data

    def submit(self) -> None:
        """Send it, as a task of its own."""
        call = self.call
        client = call.engine.client
        if not self.big:
            self.watch(submit(client, call.name, run_chunk, call.head, self.data))
            return
        big = [call.send_ahead(value, self._lost > 0) for value in self.big]
        self.watch(client.submit(operator.call, call.runner(), self.data, *big, pure=False))

    def watch(self, future: Any) -> None:
        """Take the future that will have its result."""
        self.future = future
        self.call.engine.collector.watch(future, self._finished)

    def _finished(self, value: Any, error: BaseException | None) -> None:
        engine = self.call.engine
        if error is None:
            seconds, data, buffers = value
            # What arrives in a frame of its own may not be written, unlike any other result.
            buffers = [bytearray(b) if memoryview(b).readonly else b for b in buffers]
            outcomes = unpack(data, buffers, self._describe, self._count)
        elif self._is_lost(error):
            self._lost += 1
            self.submit()
            return
        else:
            seconds = 0.0
            outcomes = [(False, engine.translate(error, self._describe(None)))] * self._count
        self.over = True
        self.big = []
        self._done(seconds, outcomes)

    def _is_lost(self, error: BaseException) -> bool:
        # Dask runs tasks again, but cannot make data again that were sent to a worker which has died.
        return bool(self.big) and self._lost < _LOST and "lost" in str(error) and self.call.engine.alive

    def _describe(self, index: int | None) -> str:
        name, first, last = self.call.name, self.first, self.first + self._count - 1
        if not self._of_many:
            return f"{name}()"
        if index is not None or first == last:
            return f"{name} (item {first + (index or 0)})"
        return f"{name} on items {first} to {last} (one chunk)"

    # ---- big arguments

    def _out(self, index: int, key: Any, value: Any) -> Any:
        size = getattr(value, "nbytes", None)
        if size is None and isinstance(value, bytes | bytearray):
            size = len(value)
        if not isinstance(size, int) or size < _BIG:
            return value
        self._places.append((index, key))
        self.big.append(value)
        return None

    def _strip(self, items: list[Any]) -> list[Any]:
        mode = self.call.mode
        if mode == "one":
            return [self._out(i, None, item) for i, item in enumerate(items)]
        if mode == "star":
            return [
                tuple(self._out(i, (None, at), v) for at, v in enumerate(item))
                for i, item in enumerate(items)
            ]
        return [
            (
                tuple(self._out(i, ("args", at), v) for at, v in enumerate(args)),
                {name: self._out(i, ("kwargs", name), v) for name, v in kwargs.items()},
            )
            for i, (args, kwargs) in enumerate(items)
        ]
