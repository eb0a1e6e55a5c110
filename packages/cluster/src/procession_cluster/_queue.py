"""Queue: first in, first out, through the cluster's scheduler."""

from __future__ import annotations

from queue import Empty, Full

from ._engine import dask
from ._sync import _Named, _seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Queue(_Named):
    """A queue that any process of the cluster may use; items pass through the scheduler, so keep them
    small.
    """

    def __init__(self, engine: Any, maxsize: int = 0) -> None:
        self._maxsize = max(0, maxsize)
        self._closed = False
        super().__init__(engine)

    def _make(self) -> Any:
        return dask().Queue(self._name, client=self._client, maxsize=self._maxsize)

    def put(self, obj: Any, block: bool = True, timeout: float | None = None) -> None:
        """Append an item; queue.Full if there is no room in time; ValueError on a closed queue."""
        if self._closed:
            raise ValueError(f"Queue {self!r} is closed; make a new one, or use another handle of it")
        import cloudpickle

        # As bytes: the scheduler neither has nor wants the classes of our items.
        data = cloudpickle.dumps(obj)
        seconds = _seconds(block, timeout)
        try:
            self._ask("put", data, timeout=0.05 if seconds == 0 else seconds)
        except TimeoutError:
            raise Full from None

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Remove and return an item; queue.Empty if there is none in time; ValueError on a closed queue."""
        if self._closed:
            raise ValueError(f"Queue {self!r} is closed; make a new one, or use another handle of it")
        import cloudpickle

        seconds = _seconds(block, timeout)
        try:
            data = self._ask("get", timeout=0.05 if seconds == 0 else seconds)
        except TimeoutError:
            raise Empty from None
        return cloudpickle.loads(data)

    def put_nowait(self, obj: Any) -> None:
        """``put(obj, False)``."""
        self.put(obj, False)

    def get_nowait(self) -> Any:
        """``get(False)``."""
        return self.get(False)

    def qsize(self) -> int:
        """Return the number of items."""
        return int(self._ask("qsize"))

    def empty(self) -> bool:
        """Return whether there is no item."""
        return self.qsize() == 0

    def full(self) -> bool:
        """Return whether maxsize is reached."""
        return bool(self._maxsize) and self.qsize() >= self._maxsize

    def close(self) -> None:
        """Use this handle no more."""
        self._closed = True

    def join_thread(self) -> None:
        """Nothing to wait for: put() returns when the scheduler has the item."""

    def cancel_join_thread(self) -> None:
        """Nothing to cancel: see join_thread()."""
