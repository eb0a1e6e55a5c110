"""What a worker process does."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # the C module: `signal` would import enum in every worker
import os
import sys
from _signal import SIG_IGN, SIGINT  # by themselves: a worker copies the page of each object that it names
from _signal import signal as set_handler
from functools import partial

from procession_core import NotSupportedError, debug, default_reducer, info, runtime

from ._errors import MaybeEncodingError, SoftTimeoutError
from ._payload import KeptUntilRead, Payloads
from ._task_context import watched
from ._transport import DUMP_SIGNAL, NO_MEMORY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

FUNCTION, STOP, READY, INIT_FAILED, EXIT_VALUE = b"F", b"X", b"R", b"I", b"E"

_PARENT_CHECK = 10.0
"""Seconds after which an idle worker looks whether its parent is still there."""


class Setup:
    """What a worker is started with."""

    def __init__(
        self,
        initializer: Callable[..., object] | None,
        initargs: tuple[Any, ...],
        on_exit: Callable[[], object] | None,
        memory_limit: int | None,
        wrap_exception: bool,
        number: int,
    ) -> None:
        self.initializer = initializer
        self.initargs = initargs
        self.on_exit = on_exit
        self.memory_limit = memory_limit
        self.wrap_exception = wrap_exception
        self.number = number


class WorkerState:
    """Where initializer and tasks of one worker keep what they share; see ``worker_state()``."""

    def __init__(self, number: int) -> None:
        self.number = number


_state: WorkerState | None = None


def worker_state() -> WorkerState:
    """Return this worker's own object, on which initializer, tasks and exit hook may set attributes.

    ``number`` counts the pool's workers from 1 (on a cluster it is 0). Raises RuntimeError outside of a pool's worker
    process.
    """
    if _state is None:
        raise RuntimeError(
            "worker_state() works in the worker processes of a Pool only; call it in a task or in the initializer"
        )
    return _state


def adopt_state(state: WorkerState | None) -> WorkerState:
    """Make *state* (None: a new one) that of ``worker_state()``: for pools whose workers belong to somebody else."""
    global _state
    _state = WorkerState(0) if state is None else state
    return _state


class _Raises:
    """In the place of a function that cannot be unpickled."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise self._error


class _Stateful:
    """A function that is unpickled for each task (or chunk), so that none sees what another has done to it."""

    def __init__(self, *recipe: Any) -> None:
        self._recipe = recipe

    def fresh(self) -> Callable[..., Any]:
        return _function(*self._recipe)


class _SoftlyTimed:
    """Calls a function and raises SoftTimeoutError in it after a time."""

    def __init__(self, function: Callable[..., Any], seconds: float) -> None:
        self._function = function
        self._seconds = seconds

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        def expire(number: int, frame: object) -> None:
            raise SoftTimeoutError(
                f"the task has run for its soft_timeout of {self._seconds} s; it may catch this error to clean up"
            )

        old = _signal.signal(_signal.SIGALRM, expire)
        try:
            _signal.setitimer(_signal.ITIMER_REAL, self._seconds)
            return self._function(*args, **kwargs)
        finally:
            _signal.setitimer(_signal.ITIMER_REAL, 0)
            _signal.signal(_signal.SIGALRM, old)


def work(link: Any, setup: Setup) -> None:
    """Main function of a worker process."""
    _ignore_interrupts()
    channel = link.open()
    kept = KeptUntilRead()
    kept.positions = channel.positions
    payloads = Payloads(kept, views=True)
    _stacks_to(link.stack_fd)
    memory = _prepare_memory(setup.memory_limit)
    failed, within = payloads.failed, _as_it_is
    if memory is not None:
        channel.lift = memory.lift
        failed, within = partial(memory.report, failed), memory.within
    global _state
    _state = WorkerState(setup.number)
    value = None
    if setup.initializer is not None:
        try:
            value = within(setup.initializer)(*setup.initargs)
        except BaseException as error:
            tag, data = failed(error)
            channel.emit(INIT_FAILED + bytes([tag]) + data, True)
            kept.collect()
            channel.drained(5.0)
            if isinstance(error, Exception):
                sys.exit(1)
            raise
    channel.emit(READY + _quiet_payload(payloads, value), False)
    if memory is not None:
        memory.rest()
    try:
        _serve(channel, payloads, kept, failed, within, memory)
    except MemoryError:
        # Not even its report could be made.
        if memory is not None:
            memory.lift()
            if link.stack_fd >= 0:
                os.write(link.stack_fd, NO_MEMORY)
        raise
    if setup.on_exit is not None:
        try:
            value = within(setup.on_exit)()
        except Exception as error:
            tag, data = failed(error)
            channel.emit(EXIT_VALUE + bytes([tag]) + data, True)
        else:
            channel.emit(EXIT_VALUE + _quiet_payload(payloads, value), True)
        channel.drained(5.0)
    debug("worker exiting")


def _quiet_payload(payloads: Payloads, value: Any) -> bytes:
    if value is None:
        return b""
    try:
        tag, data = payloads.dumps(value)[:2]
    except Exception as error:
        tag, data = payloads.failed(MaybeEncodingError(error, value))
    return bytes([tag]) + data


def _serve(
    channel: Any,
    payloads: Payloads,
    kept: KeptUntilRead,
    failed: Callable[[BaseException], tuple[int, bytes]],
    within: Callable[[Callable[..., Any]], Callable[..., Any]],
    memory: _MemoryLimit | None,
) -> None:
    functions: dict[int, Any] = {}
    call: Any
    loads = payloads.loads if memory is None else memory.decoder(payloads.loads)
    copies = Payloads(kept).loads
    encode = payloads.dumps
    take = channel.next
    run = channel.run
    collect = kept.collect

    def dumps(obj: Any) -> tuple[int, bytes] | tuple[int, bytes, bool]:
        # Before, not after: so the new result goes into the memory of the last one.
        collect()
        try:
            return encode(obj)
        except MemoryError as error:
            if memory is None:
                raise MaybeEncodingError(error, obj) from None
            # As in the task; and to show the result takes even more.
            memory.lift()
            raise
        except BaseException as error:
            # Not the original traceback: it would show the pickler.
            raise MaybeEncodingError(error, obj) from None

    while True:
        try:
            record = take(_PARENT_CHECK)
            if record is None:
                collect()
                if _orphaned():
                    info("worker got no task for a while and its parent is gone: exiting")
                    return
            elif type(record) is tuple:
                function = functions[record[1]]
                if type(function) is _Stateful:
                    left = record[3]
                    while channel.in_hand:
                        if left:
                            call = within(watched(function.fresh()))
                            left -= 1
                        run(call, loads, dumps, failed, 1)
                else:
                    call = within(watched(function))
                    while channel.in_hand:
                        run(call, loads, dumps, failed, 1 << 30)
                call = function = None
                collect()
                if memory is not None:
                    memory.rest()
            elif record[:1] == FUNCTION:
                slot, stateful, *recipe = default_reducer.loads(record[1:])
                functions[slot] = _Stateful(copies, *recipe) if stateful else _function(loads, *recipe)
            elif record[:1] == STOP:
                if kept.holds():
                    channel.drained(5.0)
                return
        except KeyboardInterrupt:
            # Somebody has installed a handler for SIGINT in this process; the task is not to blame.
            continue
        except (EOFError, OSError):
            info("worker lost its pool: exiting")
            return


def _function(
    loads: Callable[[int, bytes], Any], soft_timeout: float | None, tag: int, data: bytes
) -> Callable[..., Any]:
    try:
        function: Callable[..., Any] = loads(tag, data)
    except BaseException as error:
        return _Raises(error)
    return function if soft_timeout is None else _SoftlyTimed(function, soft_timeout)


def _ignore_interrupts() -> None:
    # Ctrl-C goes to the whole group; the pool's process decides what it means.
    set_handler(SIGINT, SIG_IGN)


def _stacks_to(fd: int) -> None:
    if fd < 0:
        return
    import faulthandler

    if not faulthandler.is_enabled():
        faulthandler.enable(fd, all_threads=True)
    if DUMP_SIGNAL is not None and sys.platform != "win32":
        try:
            faulthandler.register(DUMP_SIGNAL, fd, all_threads=True)
        except (RuntimeError, ValueError, OSError):
            pass


_SLACK = 8 << 20
"""Bytes that a worker may use beyond its limit for what is around a task."""


class _MemoryLimit:
    """The limit of this worker's private memory.

    It holds while a task runs. What is around the task may use a little more, for CPython ends a process that
    runs out of memory in too many places in a row; and what is reported, read and sent has no limit: half a frame is of
    no use. Nor has a worker that a task has left without memory, until it is replaced.
    """

    _set: Callable[[], object]
    _loosen: Callable[[], object]
    lift: Callable[[], object]
    _exhausted: bool

    def __init__(self, limit: int) -> None:
        if sys.platform == "win32":
            raise NotSupportedError("Windows cannot limit the memory of a worker: leave out memory_limit")
        import resource

        kind = resource.RLIMIT_DATA
        hard = resource.getrlimit(kind)[1]

        def sets(soft: int) -> Callable[[], object]:
            # With no memory left these must not need any: not even that of a frame.
            return partial(resource.setrlimit, kind, (soft if hard < 0 else min(soft, hard), hard))

        self._set = sets(limit)
        self._loosen = sets(limit + _SLACK)
        self.lift = partial(resource.setrlimit, kind, (hard, hard))
        self._exhausted = False
        self.rest()

    def within(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return what calls *function* within the limit."""
        begin, end = self._set, self._loosen

        def call(*args: Any, **kwargs: Any) -> Any:
            begin()
            try:
                return function(*args, **kwargs)
            finally:
                end()

        return call

    def decoder(self, loads: Callable[[int, bytes], Any]) -> Callable[[int, bytes], Any]:
        """Return what calls *loads* with little more than the limit, after whatever has lifted it."""

        def call(tag: int, data: bytes) -> Any:
            self._loosen()
            return loads(tag, data)

        return call

    def rest(self) -> None:
        """No task is there."""
        if self._exhausted:
            self.lift()
        else:
            # CPython has 16 in reserve for when there is no memory to make one; without, it ends the process. Those
            # that its parent held when it was forked are missing here. Once dropped these are the reserve.
            [MemoryError() for _ in range(16)]
            self._loosen()

    def report(
        self, failed: Callable[[BaseException], tuple[int, bytes]], error: BaseException
    ) -> tuple[int, bytes]:
        """Return the payload of *error*, and leave the limit lifted: to send it takes memory, too."""
        self.lift()
        if isinstance(error, MemoryError):
            self._exhausted = True
        return failed(error)


def _as_it_is(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def _prepare_memory(limit: int | None) -> _MemoryLimit | None:
    import gc

    # What was inherited is not looked at again, so its pages stay shared with the parent.
    if hasattr(gc, "freeze"):  # PyPy has none
        gc.freeze()
    return None if limit is None else _MemoryLimit(limit)


def _orphaned() -> bool:
    parent = runtime.parent
    return parent is not None and not parent.is_alive()


__all__ = (
    "EXIT_VALUE",
    "FUNCTION",
    "INIT_FAILED",
    "READY",
    "STOP",
    "Setup",
    "WorkerState",
    "work",
    "worker_state",
)
