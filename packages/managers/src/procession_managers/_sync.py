"""SyncManager: a manager that knows Python's containers, queues and synchronisation types."""

from __future__ import annotations

from procession_pool import Pool

from ._locks import BoundedSemaphore, Lock, RLock, Semaphore
from ._manager import BaseManager
from ._proxies import (
    AcquirerProxy,
    ArrayProxy,
    BarrierProxy,
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
from ._proxy import DEFAULT_REGISTRY
from ._queues import Queue
from ._signals import Barrier, Condition, Event
from ._values import Array, Namespace, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class SyncManager(BaseManager):
    """A manager for the types that processes synchronise and exchange data with.

    Its server ends when the manager is collected, when this process exits, and when it dies.
    """

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


SyncManager.register("Queue", Queue)
SyncManager.register("JoinableQueue", Queue)
SyncManager.register("Event", Event, EventProxy)
SyncManager.register("Lock", Lock, AcquirerProxy)
SyncManager.register("RLock", RLock, AcquirerProxy)
SyncManager.register("Semaphore", Semaphore, SemaphoreProxy)
SyncManager.register("BoundedSemaphore", BoundedSemaphore, SemaphoreProxy)
SyncManager.register("Condition", Condition, ConditionProxy)
SyncManager.register("Barrier", Barrier, BarrierProxy)
SyncManager.register("Pool", Pool, PoolProxy)
SyncManager.register("list", list, ListProxy)
SyncManager.register("dict", dict, DictProxy)
SyncManager.register("set", set, SetProxy)
SyncManager.register("Value", Value, ValueProxy)
SyncManager.register("Array", Array, ArrayProxy)
SyncManager.register("Namespace", Namespace, NamespaceProxy)

# Only made as the results of methods.
SyncManager.register("Iterator", proxytype=IteratorProxy, create_method=False)
SyncManager.register("AsyncResult", create_method=False)

DEFAULT_REGISTRY.update(SyncManager._registry)
