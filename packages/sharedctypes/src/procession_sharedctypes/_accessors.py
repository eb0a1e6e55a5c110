"""The accessors of the synchronized wrappers for plain numbers: the core's in C, or Python's.

Both siblings have the classes ``ValueAccess`` and ``ArrayAccess`` with ``_bind(obj, lock, code, itemsize,
count)``, ``get_obj()`` and ``get_lock()``.
"""

from __future__ import annotations

from procession_shm import native

TYPE_CHECKING = False
if TYPE_CHECKING or native is None:
    from ._accessors_portable import ArrayAccess, ValueAccess
else:
    ValueAccess = native.SyncValue
    ArrayAccess = native.SyncArray

__all__ = ("ArrayAccess", "ValueAccess")
