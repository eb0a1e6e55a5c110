"""Pickling: one table of reducers, one reused pickler for each thread."""

from __future__ import annotations

import copyreg
import sys
from _thread import _local

from ._by_value import by_value_dump, can_help, strict_dump
from ._culprit import explain
from ._runtime import runtime
from ._transfer import current_transfer

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pickle as _pickle
    from collections.abc import Callable, Iterable
    from pickle import PickleBuffer
    from typing import Any

    _Reduce = Any  # Callable[[T], str | tuple[Any, ...]], T being the registered type
else:
    # The C module alone: `pickle` would import re, struct and more, which a fresh child pays for (3 ms).
    try:
        import _pickle
    except ImportError:
        import pickle as _pickle

_KEEP_LIMIT = 1 << 20
"""A pickler that made a message of more bytes than this is dropped: its memo table stays as large as it
became.
"""


class _Output:
    """The file of a pickler: collects what is written (one piece for a small message)."""

    __slots__ = ("write",)

    def __init__(self, pieces: list[bytes]) -> None:
        self.write = pieces.append


class _Worker:
    """A pickler, its output and where its out-of-band buffers go."""

    __slots__ = ("buffers", "pickler", "pieces", "protocol", "threshold", "version")

    def __init__(self, table: dict[type, Any], version: object, protocol: int | None, oob: bool) -> None:
        self.pieces: list[bytes] = []
        self.protocol = protocol
        self.version = version
        self.threshold = 0
        self.buffers: list[PickleBuffer] = []
        output: Any = _Output(self.pieces)
        if oob:
            self.pickler = _pickle.Pickler(output, 5, buffer_callback=self.keep_in_band)
        else:
            self.pickler = _pickle.Pickler(output, protocol)
        self.pickler.dispatch_table = table

    def keep_in_band(self, buffer: PickleBuffer) -> bool:
        try:
            size = buffer.raw().nbytes
        except BufferError:  # not contiguous
            return True
        if size < self.threshold:
            return True
        self.buffers.append(buffer)
        return False


class _Idle(_local):
    """The worker of this thread for plain and for out-of-band pickles, while it is not in use."""

    def __init__(self) -> None:
        self.plain: _Worker | None = None
        self.oob: _Worker | None = None


def _is_start() -> bool:
    transfer = current_transfer()
    return transfer is not None and transfer.spawning


class Reducer:
    """Pickles with a dispatch table of its own over copyreg's. Safe for threads and for re-entry."""

    def __init__(self) -> None:
        self.own: dict[type, _Reduce] = {}
        self.watchers: list[Callable[[], object]] = []
        self._table: dict[type, _Reduce] = {}
        self._version: tuple[int, int, int] = (-1, -1, -1)
        self._registrations = 0
        self._lazy: dict[tuple[str, str], _Reduce] = {}
        self._idle = _Idle()

    def register(self, type: type, reduce: _Reduce) -> None:
        """Use ``reduce(obj)`` to pickle objects of exactly this *type*."""
        self.own[type] = reduce
        self._registrations += 1
        for callback in self.watchers:
            callback()

    def register_lazily(self, module: str, name: str, reduce: _Reduce) -> None:
        """Register ``reduce`` for the type *name* of *module* as soon as that module is imported."""
        self._lazy[module, name] = reduce

    def _register_imported(self) -> None:
        for module, name in list(self._lazy):
            found = getattr(sys.modules.get(module), name, None)
            if found is not None:  # None also while the module is being imported
                self.register(found, self._lazy.pop((module, name)))

    def table(self) -> dict[type, _Reduce]:
        """Return the merged dispatch table: copyreg's, then the standard library's own picklers', then
        ours.
        """
        if self._lazy:
            self._register_imported()
        foreign = self._foreign()
        version = (len(copyreg.dispatch_table), self._registrations + len(self.own), len(foreign))
        if version != self._version:
            table: dict[type, _Reduce] = dict(copyreg.dispatch_table)
            table.update(foreign)
            table.update(self.own)
            self._table, self._version = table, version
        return self._table

    def watched(self) -> tuple[dict[Any, Any], ...]:
        """Return the four dictionaries whose sizes tell that ``table()`` may have changed; changes of entries are
        told by calling each of ``watchers``.
        """
        return copyreg.dispatch_table, self.own, self._foreign(), sys.modules

    def _foreign(self) -> dict[type, _Reduce]:
        # What programs registered with the standard library's ForkingPickler, if it is loaded and is not
        # ours: its own connections and third-party tensors travel by these.
        module = sys.modules.get("multiprocessing.reduction")
        if module is None:
            return {}
        found = getattr(getattr(module, "ForkingPickler", None), "_extra_reducers", None)
        return {} if found is None or found is self.own else found

    def dumps(self, obj: object, protocol: int | None = None) -> bytes:
        """Return the pickle of *obj*.

        Raises what pickling raises, with a note that says which part of *obj* is to blame.
        """
        idle = self._idle
        worker = idle.plain
        table = self.table()
        if worker is None or worker.version is not self._version or worker.protocol != protocol:
            worker = _Worker(table, self._version, protocol, oob=False)
        idle.plain = None
        if runtime.main_by_value and can_help():
            return b"".join(self._by_value(obj, protocol, None))
        if runtime.main_by_value and _is_start():
            return b"".join(self._strict(obj, protocol))
        try:
            worker.pickler.dump(obj)
        except Exception as error:
            pieces = self._second_try(error, obj, protocol, None)
            return b"".join(pieces)
        return self._finish(worker, idle, "plain")

    def dumps_oob(self, obj: object, threshold: int, buffers: list[PickleBuffer]) -> bytes:
        """Return the pickle (protocol 5) of *obj*; buffers of at least *threshold* bytes are appended to
        *buffers*.

        Raises as ``dumps()`` does; *buffers* is unchanged then.
        """
        idle = self._idle
        worker = idle.oob
        table = self.table()
        if worker is None or worker.version is not self._version:
            worker = _Worker(table, self._version, 5, oob=True)
        idle.oob = None
        worker.threshold = threshold
        if runtime.main_by_value and can_help():
            data = b"".join(self._by_value(obj, 5, worker.keep_in_band))
        else:
            try:
                worker.pickler.dump(obj)
            except Exception as error:
                worker.buffers.clear()
                data = b"".join(self._second_try(error, obj, 5, worker.keep_in_band))
            else:
                found = worker.buffers
                if found:
                    buffers.extend(found)
                    found.clear()
                return self._finish(worker, idle, "oob")
        buffers.extend(worker.buffers)
        return data

    def dump(self, obj: object, file: Any, protocol: int | None = None) -> None:
        """Write the pickle of *obj* to *file*. Raises as ``dumps()`` does, and what ``file.write()``
        raises.
        """
        file.write(self.dumps(obj, protocol))

    def loads(self, data: Any, buffers: Iterable[Any] | None = None) -> Any:
        """Return the object that *data* (bytes-like) describes; *buffers* are its out-of-band buffers in
        order.
        """
        return _pickle.loads(data, buffers=buffers)

    def _finish(self, worker: _Worker, idle: _Idle, kind: str) -> bytes:
        pieces = worker.pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        if len(data) <= _KEEP_LIMIT:
            worker.pickler.clear_memo()
            setattr(idle, kind, worker)
        return data

    def _by_value(
        self, obj: object, protocol: int | None, callback: Callable[[PickleBuffer], Any] | None
    ) -> list[bytes]:
        try:
            return by_value_dump(obj, protocol, self.table(), callback)
        except Exception as error:
            explain(error, obj, self.table())
            raise

    def _strict(self, obj: object, protocol: int | None) -> list[bytes]:
        try:
            return strict_dump(obj, protocol, self.table())
        except Exception as error:
            explain(error, obj, self.table())
            raise

    def _second_try(
        self,
        error: Exception,
        obj: object,
        protocol: int | None,
        callback: Callable[[PickleBuffer], Any] | None,
    ) -> list[bytes]:
        # Only what plain pickling refuses goes by value, so installing cloudpickle changes no pickle that
        # works.
        if can_help(error):
            try:
                return by_value_dump(obj, protocol, self.table(), callback)
            except Exception:
                pass
        explain(error, obj, self.table())
        raise error


default_reducer = Reducer()
"""The reducer that the whole library uses."""


class ForkingPickler(_pickle.Pickler):
    """A pickler with the library's reducers, under the name that programs know.

    Where ``_extra_reducers`` is read or written directly, it is the table of ``default_reducer``.
    """

    _extra_reducers = default_reducer.own

    def __init__(self, file: Any, protocol: int | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(file, protocol, *args, **kwargs)
        self.dispatch_table = default_reducer.table()

    @classmethod
    def register(cls, type: type, reduce: _Reduce) -> None:
        """Use ``reduce(obj)`` to pickle objects of exactly this *type*, in the whole library."""
        default_reducer.register(type, reduce)

    @classmethod
    def dumps(cls, obj: object, protocol: int | None = None) -> bytes:
        """Return the pickle of *obj*."""
        if cls is ForkingPickler:
            return default_reducer.dumps(obj, protocol)
        pieces: list[bytes] = []
        cls(_Output(pieces), protocol).dump(obj)
        return b"".join(pieces)

    loads = staticmethod(_pickle.loads)


def register(type: type, reduce: _Reduce) -> None:
    """Use ``reduce(obj)`` to pickle objects of exactly this *type*, in the whole library."""
    default_reducer.register(type, reduce)


def dump(obj: object, file: Any, protocol: int | None = None) -> None:
    """Write the pickle of *obj* to *file* with the library's reducers."""
    default_reducer.dump(obj, file, protocol)
