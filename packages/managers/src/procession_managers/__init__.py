"""BaseManager, SyncManager, SharedMemoryManager, proxies."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    raise ImportError("procession_managers needs POSIX: its server waits for pipes and sockets in one call")

from ._batch import Batch, BatchResult
from ._errors import ManagerStateError, RemoteError, RemoteTraceback
from ._manager import BaseManager, State
from ._proxies import (
    AcquirerProxy,
    ArrayProxy,
    BarrierProxy,
    BaseListProxy,
    ConditionProxy,
    DictProxy,
    EventProxy,
    IteratorProxy,
    ListProxy,
    NamespaceProxy,
    PoolProxy,
    SemaphoreProxy,
    SetProxy,
    ValueProxy,
)
from ._proxy import AutoProxy, BaseProxy, MakeProxyType, RebuildProxy
from ._server import Server
from ._shared_memory import SharedMemoryManager, SharedMemoryServer
from ._sync import SyncManager
from ._token import Token
from ._values import Array, Namespace, Value
from ._wire import MODULE as WIRE_MODULE

__all__ = (
    "WIRE_MODULE",
    "AcquirerProxy",
    "Array",
    "ArrayProxy",
    "AutoProxy",
    "BarrierProxy",
    "BaseListProxy",
    "BaseManager",
    "BaseProxy",
    "Batch",
    "BatchResult",
    "ConditionProxy",
    "DictProxy",
    "EventProxy",
    "IteratorProxy",
    "ListProxy",
    "MakeProxyType",
    "ManagerStateError",
    "Namespace",
    "NamespaceProxy",
    "PoolProxy",
    "RebuildProxy",
    "RemoteError",
    "RemoteTraceback",
    "SemaphoreProxy",
    "Server",
    "SetProxy",
    "SharedMemoryManager",
    "SharedMemoryServer",
    "State",
    "SyncManager",
    "Token",
    "Value",
    "ValueProxy",
)
