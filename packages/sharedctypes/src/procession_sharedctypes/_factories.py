"""``Value`` and ``Array``: shared objects with a lock."""

from __future__ import annotations

from ._raw import RawArray, RawValue
from ._synchronized import synchronized

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def Value(typecode_or_type: Any, *args: Any, lock: Any = True, ctx: Any = None) -> Any:
    """Return a ctypes object in shared memory with a lock that each access takes.

    :param typecode_or_type: a ctypes type or one of the typecodes ``c u b B h H i I l L q Q f d``
    :param args: what the type is initialised with
    :param lock: True or None: a new RLock; a Lock or RLock to use; False: no wrapper, as ``RawValue()``
    :param ctx: whose RLock to take; None: this library's

    Never blocks. Raises TypeError for what is no type, AttributeError for a *lock* that is none, MemoryError
    if there is no memory, and what the type's constructor raises. (multiprocessing.Value)
    """
    obj = RawValue(typecode_or_type, *args)
    if lock is False:
        return obj
    return synchronized(obj, _checked(lock), ctx)


def Array(
    typecode_or_type: Any,
    size_or_initializer: Any = None,
    *,
    lock: Any = True,
    ctx: Any = None,
    shape: Any = None,
) -> Any:
    """Return a ctypes array in shared memory with a lock that each access takes.

    :param size_or_initializer: the length (all zero then), or a sequence of the elements
    :param shape: the dimensions, as for ``RawArray()``

    The other parameters, blocking and errors are those of ``Value()`` and ``RawArray()``.
    (multiprocessing.Array)
    """
    obj = RawArray(typecode_or_type, size_or_initializer, shape=shape)
    if lock is False:
        return obj
    return synchronized(obj, _checked(lock), ctx)


def _checked(lock: Any) -> Any:
    if lock is True or lock is None:
        return None
    if not hasattr(lock, "acquire"):
        raise AttributeError(f"{lock!r} has no method 'acquire'")
    return lock
