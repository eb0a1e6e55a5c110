"""The names that CPython's package has for what travels between proxies and servers."""

from __future__ import annotations

from procession_connection import wire_reducer
from procession_core import default_reducer

from . import _proxies, _proxy, _shared_memory, _sync, _values
from ._errors import RemoteError
from ._manager import BaseManager
from ._token import Token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MODULE = "multiprocessing.managers"
"""Where CPython has them."""

wire_reducer.map(_proxies.SemaphoreProxy, MODULE, "AcquirerProxy")
for _thing in (
    Token,
    RemoteError,
    BaseManager,
    _proxy.AutoProxy,
    _proxy.BaseProxy,
    _proxy.MakeProxyType,
    _proxy.RebuildProxy,
    _proxies.AcquirerProxy,
    _proxies.ArrayProxy,
    _proxies.BarrierProxy,
    _proxies.BaseListProxy,
    _proxies.ConditionProxy,
    _proxies.DictProxy,
    _proxies.EventProxy,
    _proxies.IteratorProxy,
    _proxies.ListProxy,
    _proxies.NamespaceProxy,
    _proxies.PoolProxy,
    _proxies.SetProxy,
    _proxies.ValueProxy,
    _shared_memory.SharedMemoryManager,
    _sync.SyncManager,
    _values.Array,
    _values.Namespace,
    _values.Value,
):
    wire_reducer.map(_thing, MODULE, _thing.__name__)


def _as_list(view: Any) -> tuple[Any, ...]:
    return list, (list(view),)


# What keys(), values() and items() return cannot be pickled as such.
_view: Any
for _view in ({}.keys(), {}.values(), {}.items()):
    default_reducer.register(type(_view), _as_list)
