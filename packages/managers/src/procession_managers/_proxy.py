"""BaseProxy: an object here that refers to an object in a server."""

from __future__ import annotations

import sys

from procession_core import AuthenticationString, NotSupportedError, current_transfer

from ._async import call_async
from ._batch import make_batch
from ._channel import raise_answer
from ._link import classic_pickles, link_to
from ._protocol import GETVALUE, PROXY, RETURN
from ._serving import serving
from ._token import Token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

_NO_KWDS: dict[str, Any] = {}
_FOREIGN, _GRANTED, _HOME = 0, 1, 2
"""How a pickled proxy came here: from anywhere; in an answer of its server; to its server."""


class BaseProxy:
    """Refers to an object that lives in a manager's server.

    *token* says which; *serializer* is the server's; *manager* a manager object for its server, if there is
    one here; *authkey* the server's key (that of the manager, or of this process); *exposed* the names of the
    methods that may be called. Subclasses define methods by means of ``_callmethod()``.

    Raises RemoteError if the server has no such object, and what connecting raises.
    """

    _link: Any = None
    _by_value = False
    _isauto = False

    def __init__(
        self,
        token: Token,
        serializer: str,
        manager: Any = None,
        authkey: bytes | None = None,
        exposed: Iterable[str] | None = None,
        incref: bool = True,
        manager_owned: bool = False,
    ) -> None:
        self._token = token
        self._id = token.id
        self._manager = manager
        self._serializer = serializer
        self._owned_by_manager = manager_owned
        server = serving.server
        if manager_owned and server is not None:
            link = server.local_link
        elif manager is not None:
            link = manager._link_to(token.address)
            if manager._by_value:
                self._by_value = True
        else:
            link = link_to(token.address, authkey, serializer)
        if authkey is None:
            authkey = link.authkey
        self._authkey = AuthenticationString(authkey)
        if incref:
            link.acquire(token.id, serving.transit)
        self._link = link

    def __del__(self) -> None:
        link = self._link
        if link is not None:
            link.drop(self._id)

    # ---- calls -----------------------------------------------------------------------------------------------

    def _callmethod(self, methodname: str, args: Any = (), kwds: Any = _NO_KWDS) -> Any:
        """Call a method of the referent and return a copy of its result, or a proxy of it.

        Blocks until the answer has come. Raises what the method raises, with the server's traceback as its
        cause; RemoteError if the method is not exposed or cannot be called; ServerDiedError if the server is
        gone.
        """
        link = self._link
        try:
            channel = link.local.channel
        except AttributeError:
            channel = link.channel()
        kind, value = channel.call(self._id, methodname, args, kwds)
        if kind == RETURN:
            return value
        try:
            return self._other_answer(kind, value)
        finally:
            del value

    def _other_answer(self, kind: str, value: Any) -> Any:
        if kind != PROXY:
            try:
                return raise_answer(kind, value)
            finally:
                del value
        exposed, token = value
        return self._make_proxy(token, exposed)

    def _make_proxy(self, token: Token, exposed: Iterable[str]) -> Any:
        link = self._link
        token.address = self._token.address
        registry = link.registry if self._manager is None else self._manager._registry
        registered = registry.get(token.typeid) or DEFAULT_REGISTRY.get(token.typeid)
        make: Callable[..., Any] = AutoProxy if registered is None else registered[-1]
        link.granted(token.id)
        try:
            return make(
                token,
                self._serializer,
                manager=self._manager,
                authkey=self._authkey,
                exposed=exposed,
                **({"manager_owned": True} if self._owned_by_manager else {}),
            )
        finally:
            link.settle(token.id)

    def _getvalue(self) -> Any:
        """Return a copy of the referent. Raises as ``_callmethod()``, RemoteError if it cannot be pickled."""
        return self._callmethod(GETVALUE)

    async def acall(self, methodname: str, *args: Any, **kwds: Any) -> Any:
        """Call a method of the referent without blocking the running asyncio loop.

        A task is to the referent what a thread is. Raises as ``_callmethod()``; a task that is cancelled
        gives the call up.
        """
        return await call_async(self, methodname, args, kwds)

    def batch(self) -> Any:
        """Return a context manager that collects calls and makes them at its end in one message.

        What its methods return has the ``value`` of the call then.
        """
        return make_batch(self)

    def restricted(self, methods: Iterable[str]) -> Any:
        """Return another proxy of the referent, through which only *methods* can be called.

        The server checks that, so the proxy can be handed to processes that shall not do more.
        """
        self._link.needs_procession("restricted()")
        ident, exposed = self._link.request("restrict", (self._id, tuple(methods)))
        return self._make_proxy(Token(self._token.typeid, self._token.address, ident), exposed)

    def read_only(self) -> Any:
        """Return another proxy of the referent, through which it can be looked at but not changed.

        Raises NotSupportedError for a type whose reading methods are not known; use ``restricted()``.
        """
        methods = getattr(self, "_reading_", None)
        if methods is None:
            raise NotSupportedError(
                f"which methods of {type(self).__name__} only read is not known; use restricted(methods)"
            )
        return self.restricted(methods)

    # ---- travelling ------------------------------------------------------------------------------------------

    def __reduce__(self) -> tuple[Any, ...]:
        transfer: Any = current_transfer()
        kwds: dict[str, Any] = {}
        if transfer is not None and transfer.spawning:
            kwds["authkey"] = self._authkey
        maker: Any = type(self)
        if self._isauto:
            kwds["exposed"] = self._exposed_  # type: ignore[attr-defined]
            maker = AutoProxy
        token = self._token
        if classic_pickles():
            return RebuildProxy, (maker, token, self._serializer, kwds)
        link = self._link
        how, transit = _FOREIGN, None
        if transfer is not None and getattr(transfer, "address", self) == link.address:
            if getattr(transfer, "grant", None) is None:
                how = _HOME
            elif transfer.grant(self._id):
                transfer.granted = True
                how = _GRANTED
        elif serving.server is None or link is serving.server.local_link:
            transit = link.transit(self._id)
        return rebuild_proxy, (maker, token, self._serializer, kwds, how, transit)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self._getvalue()

    # ---- looks -----------------------------------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if self._by_value or (isinstance(other, BaseProxy) and other._by_value):
            value = other._getvalue() if isinstance(other, BaseProxy) else other
            return bool(self._getvalue() == value)
        return NotImplemented

    def __hash__(self) -> int:
        return object.__hash__(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} object, typeid {self._token.typeid!r} at {id(self):#x}>"

    def __str__(self) -> str:
        """Return the repr() of the referent, or that of the proxy with a mark if there is no answer."""
        try:
            text: str = self._callmethod("__repr__")
            return text
        except Exception:
            return f"{repr(self)[:-1]}; '__str__()' failed>"


DEFAULT_REGISTRY: dict[str, Any] = {}
"""The types that every SyncManager knows, for proxies that came here without a manager."""


# ---- arriving ------------------------------------------------------------------------------------------------


def RebuildProxy(func: Callable[..., Any], token: Token, serializer: str, kwds: dict[str, Any]) -> Any:
    """Make a proxy of what CPython's pickles of proxies contain."""
    return _rebuild(func, token, serializer, kwds, None)


def rebuild_proxy(
    func: Callable[..., Any],
    token: Token,
    serializer: str,
    kwds: dict[str, Any],
    how: int,
    transit: bytes | None,
) -> Any:
    """Make a proxy of what this library's pickles of proxies contain."""
    server = serving.server
    if how == _HOME and server is not None:
        token.address = server.address
    elif how == _GRANTED and serving.link is not None:
        link = serving.link
        token.address = link.address
        link.granted(token.id)
        try:
            return _rebuild(func, token, serializer, kwds, None)
        finally:
            link.settle(token.id)
    return _rebuild(func, token, serializer, kwds, transit)


def _rebuild(
    func: Callable[..., Any], token: Token, serializer: str, kwds: dict[str, Any], transit: bytes | None
) -> Any:
    server = serving.server
    if server is not None and server.address == token.address:
        kwds["manager_owned"] = True
    before, serving.transit = serving.transit, transit
    try:
        return func(token, serializer, **kwds)
    finally:
        serving.transit = before


# ---- making types --------------------------------------------------------------------------------------------


def _method(name: str) -> Callable[..., Any]:
    def method(self: BaseProxy, /, *args: Any, **kwds: Any) -> Any:
        return self._callmethod(name, args, kwds)

    method.__name__ = method.__qualname__ = name
    return method


_made: dict[tuple[str, str, tuple[str, ...]], type[BaseProxy]] = {}


def MakeProxyType(name: str, exposed: Iterable[str], _cache: Any = None) -> type[BaseProxy]:
    """Return a subclass of BaseProxy called *name* with the methods *exposed*.

    It is pickled by name: bind it to *name* in the module that calls this.
    """
    names = tuple(exposed)
    module = sys._getframe(1).f_globals.get("__name__", __name__)
    try:
        return _made[module, name, names]
    except KeyError:
        pass
    namespace: dict[str, Any] = {method: _method(method) for method in names}
    namespace["_exposed_"] = names
    namespace["__module__"] = module
    made = _made[module, name, names] = type(name, (BaseProxy,), namespace)
    return made


def AutoProxy(
    token: Token,
    serializer: str,
    manager: Any = None,
    authkey: bytes | None = None,
    exposed: Iterable[str] | None = None,
    incref: bool = True,
    manager_owned: bool = False,
) -> BaseProxy:
    """Return a proxy with the methods that the referent exposes. The parameters are those of BaseProxy."""
    if exposed is None:
        server = serving.server
        if manager_owned and server is not None:
            link = server.local_link
        else:
            link = (
                manager._link_to(token.address)
                if manager is not None
                else link_to(token.address, authkey, serializer)
            )
        exposed = link.request("get_methods", (token,))
    made = MakeProxyType(f"AutoProxy[{token.typeid}]", exposed)
    proxy = made(
        token, serializer, manager=manager, authkey=authkey, incref=incref, manager_owned=manager_owned
    )
    proxy._isauto = True
    return proxy
