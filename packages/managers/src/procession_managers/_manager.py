"""BaseManager: starts a server or connects to one."""

from __future__ import annotations

from procession_connection import Pipe, arbitrary_address, default_family
from procession_connection._connection import check_unpickler
from procession_connection._handshake import check_key
from procession_core import (
    AuthenticationString,
    Finalize,
    ProcessError,
    ProcessStateError,
    ServerDiedError,
    debug,
    info,
    runtime,
)
from procession_process import Process, parent_process

from ._lane import prepare as prepare_lanes
from ._link import Link, link_to, unlink
from ._proxy import AutoProxy
from ._server import Server
from ._token import Token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType
    from typing import Any, Self


class State:
    """How far a manager is."""

    __slots__ = ("value",)
    INITIAL = 0
    STARTED = 1
    SHUTDOWN = 2

    def __init__(self) -> None:
        self.value = State.INITIAL


class BaseManager:
    """Starts a server process for shared objects, or stands for one that runs elsewhere.

    *address* is where the server listens (None for an arbitrary one), *authkey* the key that its clients must
    know (that of this process by default), *serializer* ``'pickle'`` or ``'xmlrpclib'``, *ctx* what has the
    ``Process`` to start it with, *shutdown_timeout* the seconds that ``shutdown()`` waits for the server to
    end before it is terminated, and then again before it is killed.

    *ssl* is the ``ssl.SSLContext`` of the server, *client_ssl* that of its clients, each may also be a
    function that returns it; *unpickler* turns received bytes into objects (see
    ``procession_connection.allow()``). *max_clients* limits the connections to the server: one more is closed;
    *max_message* the bytes of a request: a longer one raises RemoteError. With *compare_values* proxies made
    through this manager are equal if their referents are.

    Raises ValueError for an unknown serializer or a limit below 1, TypeError for a key, an unpickler or a limit that
    is none.
    """

    _registry: dict[str, tuple[Any, ...]] = {}
    _Server = Server

    def __init__(
        self,
        address: Any = None,
        authkey: Any = None,
        serializer: str = "pickle",
        ctx: Any = None,
        *,
        shutdown_timeout: float = 1.0,
        ssl: Any = None,
        client_ssl: Any = None,
        unpickler: Callable[..., Any] | None = None,
        max_clients: int | None = None,
        max_message: int | None = None,
        compare_values: bool = False,
    ) -> None:
        if serializer not in ("pickle", "xmlrpclib"):
            raise ValueError(f"serializer must be 'pickle' or 'xmlrpclib', not {serializer!r}")
        authkey = runtime.current.authkey if authkey is None else check_key(authkey)
        check_unpickler(unpickler)
        for name, limit in (("max_clients", max_clients), ("max_message", max_message)):
            if limit is not None and not isinstance(limit, int):
                raise TypeError(f"{name} must be an int or None, not {limit!r}")
            if limit is not None and limit < 1:
                raise ValueError(f"{name} must be at least 1, not {limit}")
        self._address = address
        self._authkey = AuthenticationString(authkey)
        self._state = State()
        self._serializer = serializer
        self._ctx = ctx
        self._shutdown_timeout = shutdown_timeout
        self._process: Any = None
        self._by_value = compare_values
        self._ssl = ssl
        self._client_ssl = client_ssl
        self._unpickler = unpickler
        self._limits = {"max_clients": max_clients, "max_message": max_message}
        self._made_options: dict[str, Any] | None = None
        self._links: dict[Any, Link] = {}

    # ---- servers ---------------------------------------------------------------------------------------------

    def _initial(self) -> None:
        if self._state.value != State.INITIAL:
            if self._state.value == State.STARTED:
                raise ProcessError(
                    f"Already started server: it listens at {self._address!r}; make another manager"
                )
            if self._state.value == State.SHUTDOWN:
                raise ProcessError("Manager has shut down; make a new one")
            raise ProcessError(f"Unknown state {self._state.value!r}")

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {}
        if self._ssl is not None:
            options["ssl"] = self._ssl() if callable(self._ssl) else self._ssl
        if self._unpickler is not None:
            options["unpickler"] = self._unpickler
        return options

    def get_server(self) -> Server:
        """Return a server for this manager; its ``serve_forever()`` serves in this process.

        Raises ProcessError if the manager has been started, OSError if the address cannot be bound.
        """
        self._initial()
        return self._Server(
            self._registry,
            self._address,
            self._authkey,
            self._serializer,
            options=self._options(),
            **self._limits,
        )

    def serve_forever(self) -> None:
        """Serve in this process until a client asks for the shutdown, or until KeyboardInterrupt. Blocks.

        Raises SystemExit with the status 0 at the end, as CPython's servers do, and else as ``get_server()``.
        """
        self.get_server().serve_forever()

    serveForever = serve_forever

    def start(self, initializer: Callable[..., object] | None = None, initargs: Sequence[Any] = ()) -> None:
        """Start the server in a process of its own, which first calls ``initializer(*initargs)``.

        Blocks until it listens. Raises ProcessError if the manager has been started, TypeError for an
        initializer that cannot be called, EOFError if the new process ended before it listened.
        """
        self._initial()
        if initializer is not None and not callable(initializer):
            raise TypeError(f"initializer must be a callable or None, not {initializer!r}")
        address = self._address
        if address is None and self._ssl is None:
            # Made up here, where the modules for that stay loaded, and the directory is shared by all managers.
            address = arbitrary_address(default_family)
        # What the server needs is imported here: a forked one has it then, and so have the next.
        import hmac  # noqa: F401
        import signal  # noqa: F401
        import socket  # noqa: F401

        prepare_lanes()
        # Ours brings the address, and later tells the server to end: no client has to log in for that.
        control, theirs = Pipe()
        make = Process if self._ctx is None else self._ctx.Process
        self._process = make(
            target=type(self)._run_server,
            args=(
                self._registry,
                address,
                bytes(self._authkey),
                self._serializer,
                theirs,
                initializer,
                initargs,
                (self._ssl, self._unpickler, self._limits),
            ),
        )
        ident = ":".join(str(number) for number in self._process._identity)
        self._process.name = f"{type(self).__name__}-{ident}"
        try:
            self._process.start()
            theirs.close()
            self._address = control.recv()
            # An instance attribute: only a manager that was started here can be shut down.
            self.shutdown = Finalize(
                self,
                type(self)._finalize_manager,
                args=(
                    self._process,
                    control,
                    self._state,
                    self._link_to(self._address),
                    self._shutdown_timeout,
                ),
                exitpriority=0,
            )
        except BaseException:
            # An interrupt before the server has answered: it ignores those itself, nobody else would end it, and
            # the exit of this process waits for its children.
            theirs.close()
            self._end_server(self._process, control, self._shutdown_timeout)
            raise
        self._state.value = State.STARTED

    @classmethod
    def _run_server(
        cls,
        registry: dict[str, Any],
        address: Any,
        authkey: bytes,
        serializer: str,
        control: Any,
        initializer: Callable[..., object] | None = None,
        initargs: Sequence[Any] = (),
        extras: tuple[Any, Any, dict[str, Any]] | None = None,
    ) -> None:
        import signal

        # Ctrl-C in the terminal goes to the whole group; the server must outlive its clients' cleaning up.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if initializer is not None:
            initializer(*initargs)
        ssl, unpickler, limits = extras or (None, None, {})
        options: dict[str, Any] = {}
        if ssl is not None:
            options["ssl"] = ssl() if callable(ssl) else ssl
        if unpickler is not None:
            options["unpickler"] = unpickler
        server = cls._Server(
            registry, address, AuthenticationString(authkey), serializer, options=options, **limits
        )
        control.send(server.address)
        info("manager serving at %r", server.address)
        parent = parent_process()
        if parent is not None:
            server.watch_parent(parent.sentinel, control)
        server.serve_forever()

    @classmethod
    def _finalize_manager(
        cls, process: Any, control: Any, state: State, link: Link, shutdown_timeout: float
    ) -> None:
        cls._end_server(process, control, shutdown_timeout)
        state.value = State.SHUTDOWN
        unlink(link)

    @staticmethod
    def _end_server(process: Any, control: Any, shutdown_timeout: float) -> None:
        if process.is_alive():
            info("sending shutdown message to manager")
            try:
                control.send_bytes(b"shutdown")
            except OSError as error:
                debug("manager cannot be asked to shut down: %r", error)
            process.join(timeout=shutdown_timeout)
            if process.is_alive():
                info("manager still alive after %s s: it is terminated", shutdown_timeout)
                process.terminate()
                process.join(timeout=shutdown_timeout)
                if process.is_alive():
                    info("manager still alive after terminate")
                    process.kill()
                    process.join()
        control.close()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the server's process has ended, at most *timeout* seconds (None for ever)."""
        if self._process is not None:
            self._process.join(timeout)
            if not self._process.is_alive():
                self._process = None

    # ---- clients ---------------------------------------------------------------------------------------------

    def _client_options(self) -> dict[str, Any]:
        if self._made_options is None:
            self._made_options = {}
            if self._client_ssl is not None:
                self._made_options["ssl"] = (
                    self._client_ssl() if callable(self._client_ssl) else self._client_ssl
                )
            if self._unpickler is not None:
                self._made_options["unpickler"] = self._unpickler
        return self._made_options

    def _link_to(self, address: Any) -> Link:
        try:
            return self._links[address]
        except (KeyError, TypeError):
            pass
        link = link_to(address, self._authkey, self._serializer, self._client_options())
        link.registry = self._registry
        try:
            self._links[address] = link
        except TypeError:  # a list
            pass
        return link

    def connect(self) -> None:
        """Connect this manager to the server at its address.

        Raises OSError if nobody listens there, AuthenticationError for a wrong key.
        """
        link = self._link_to(self._address)
        options = self._client_options() or link.options
        try:
            link.try_options(options)
            link.request("dummy")
        except ServerDiedError:
            # Another server may have taken the place of the one that was known here.
            unlink(link)
            self._links.clear()
            link = self._link_to(self._address)
            link.request("dummy")
        self._state.value = State.STARTED

    @classmethod
    def from_address(cls, address: Any, authkey: Any = None, **options: Any) -> Self:
        """Return a manager connected to the server at *address*. Raises as ``connect()``."""
        manager = cls(address, authkey, **options)
        manager.connect()
        return manager

    def _create(self, typeid: str, /, *args: Any, **kwds: Any) -> tuple[Token, tuple[str, ...]]:
        if self._state.value != State.STARTED:
            raise ProcessStateError(
                "server not yet started; call start() or connect() first"
                if self._state.value == State.INITIAL
                else "the manager has shut down; make a new one"
            )
        ident, exposed = self._link_to(self._address).request("create", (typeid, *args), kwds)
        return Token(typeid, self._address, ident), tuple(exposed)

    def _make(self, proxytype: Any, token: Token, exposed: tuple[str, ...]) -> Any:
        link = self._link_to(self._address)
        link.granted(token.id)
        try:
            return proxytype(token, self._serializer, manager=self, authkey=self._authkey, exposed=exposed)
        finally:
            link.settle(token.id)

    def nested(self, obj: Any) -> Any:
        """Return a proxy of a copy of *obj*, a dict or a list, whose inner dicts, lists and sets are shared too.

        What ``[]``, ``get()`` and ``setdefault()`` return is a proxy where the referent has such a container
        there, so ``proxy['a']['b'].append(1)`` changes the shared object.
        """
        link = self._link_to(self._address)
        link.needs_procession("nested()")
        ident, exposed, typeid = link.request("nest", (obj,))
        return self._make(self._registry[typeid][-1], Token(typeid, self._address, ident), tuple(exposed))

    @property
    def address(self) -> Any:
        """Where the server listens."""
        return self._address

    def _debug_info(self) -> str:
        """Return a text that lists the referents and who needs them."""
        text: str = self._link_to(self._address).request("debug_info")
        return text

    def _number_of_objects(self) -> int:
        """Return how many referents somebody needs."""
        number: int = self._link_to(self._address).request("number_of_objects")
        return number

    def __enter__(self) -> Self:
        if self._state.value == State.INITIAL:
            self.start()
        if self._state.value != State.STARTED:
            if self._state.value == State.INITIAL:
                raise ProcessError("Unable to start server; call start() or connect() first")
            if self._state.value == State.SHUTDOWN:
                raise ProcessError("Manager has shut down; make a new one")
            raise ProcessError(f"Unknown state {self._state.value!r}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        shutdown = getattr(self, "shutdown", None)
        if shutdown is not None:
            shutdown()

    def __reduce__(self) -> tuple[Any, ...]:
        return _reconnect, (type(self), self._address, bytes(self._authkey), self._serializer)

    # ---- types -----------------------------------------------------------------------------------------------

    @classmethod
    def register(
        cls,
        typeid: str,
        callable: Callable[..., Any] | None = None,
        proxytype: Any = None,
        exposed: Iterable[str] | None = None,
        method_to_typeid: dict[str, str] | None = None,
        create_method: bool = True,
        *,
        blocking: bool | None = None,
    ) -> None:
        """Let the managers of this class know a type of shared objects.

        *callable* makes the referent, in the server (None where the manager only connects); *proxytype* makes
        the proxy (AutoProxy by default); *exposed* are the methods that may be called (``proxytype._exposed_``
        or all public ones by default); *method_to_typeid* maps the names of methods whose results stay in the
        server to the types of the proxies that stand for them (a result of another type is given to the
        *callable* of that type, as to ``list``); with *create_method* the class gets a method *typeid*.
        *blocking* False promises that no method ever waits, so that the server may call it without a
        thread.

        Raises TypeError if *method_to_typeid* does not map str to str.
        """
        if "_registry" not in cls.__dict__:
            cls._registry = cls._registry.copy()
        if proxytype is None:
            proxytype = AutoProxy
        if not exposed:
            exposed = getattr(proxytype, "_exposed_", None)
        if not method_to_typeid:
            method_to_typeid = getattr(proxytype, "_method_to_typeid_", None)
        if method_to_typeid:
            for key, value in method_to_typeid.items():
                if type(key) is not str or type(value) is not str:
                    raise TypeError(f"method_to_typeid maps names to typeids, not {key!r} to {value!r}")
        names = None if exposed is None else tuple(exposed)
        cls._registry[typeid] = (callable, names, method_to_typeid, blocking, proxytype)
        if create_method:
            setattr(cls, typeid, _creator(typeid, proxytype))


def _creator(typeid: str, proxytype: Any) -> Callable[..., Any]:
    def create(self: BaseManager, /, *args: Any, **kwds: Any) -> Any:
        token, exposed = self._create(typeid, *args, **kwds)
        return self._make(proxytype, token, exposed)

    create.__name__ = create.__qualname__ = typeid
    create.__doc__ = f"Make a shared object of the type {typeid!r} and return its proxy."
    return create


def _reconnect(cls: type[BaseManager], address: Any, authkey: bytes, serializer: str) -> BaseManager:
    manager = cls(address, authkey, serializer)
    manager._state.value = State.STARTED
    return manager
