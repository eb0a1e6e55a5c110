"""What runs on the cluster's workers.

These functions are sent by value: the workers need no procession installed, only what the tasks themselves import. So
this file imports nothing of procession at its top, and what must be kept between two tasks is kept on Dask's worker
object.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

OUT_OF_BAND = 65536
"""Buffers of results from this many bytes on are not copied into the pickle."""


def initialise(pool: str, initializer: Callable[..., object] | None, initargs: tuple[Any, ...]) -> None:
    """Run a pool's initializer, once in each worker process."""
    if initializer is None:
        return
    import threading

    from distributed import get_worker

    worker = get_worker()
    done = worker.__dict__.setdefault("procession_pools", {})
    lock = worker.__dict__.setdefault("procession_lock", threading.Lock())
    with lock:
        if pool not in done:
            try:
                initializer(*initargs)
                done[pool] = None
            except (Exception, SystemExit) as error:
                done[pool] = error
    if done[pool] is not None:
        raise done[pool]


def prepare(
    pool: str, helpers: bytes, initializer: Callable[..., object] | None, initargs: tuple[Any, ...]
) -> Callable[[Any], Any]:
    """Make this worker one of the pool's; how a function is called here."""
    import pickle

    from distributed import get_worker

    try:
        adopt_state, watched = pickle.loads(helpers)
    except ImportError:  # a worker without procession, or with another one
        initialise(pool, initializer, initargs)
        return lambda function: function
    states = get_worker().__dict__.setdefault("procession_states", {})
    states[pool] = adopt_state(states.get(pool))
    initialise(pool, initializer, initargs)
    return watched  # type: ignore[no-any-return]


def travel(error: BaseException) -> tuple[Any, ...]:
    """Return how an exception is sent: (False, the exception or its description, its traceback)."""
    import traceback

    import cloudpickle

    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    error.__traceback__ = None
    try:
        cloudpickle.loads(cloudpickle.dumps(error))
    except Exception as why:
        return False, (f"{type(error).__module__}.{type(error).__qualname__}", str(error), repr(why)), text
    return False, error, text


def run_chunk(head: bytes, chunk: bytes, *big: Any) -> tuple[float, bytes, list[Any]]:
    """Run the tasks of a chunk one after another; the seconds it took, and the pickled outcomes with their buffers.

    *head* is what all chunks of a call have in common: pool, initializer, function, mode, limits. What the user's
    code is needed to unpickle is unpickled here, so that the scheduler never has to import it; *big* are the arguments
    that were sent to the cluster beforehand.
    """
    import time

    import cloudpickle

    # The number of items comes first: it is needed where the rest cannot be unpickled.
    count = int.from_bytes(chunk[:4], "little")
    try:
        items, places = cloudpickle.loads(memoryview(chunk)[4:])
        for (index, key), value in zip(places, big, strict=True):
            items[index] = put(items[index], key, value)
        pool, helpers, initializer, initargs, function, mode, limits = cloudpickle.loads(head)
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        return 0.0, *pack([travel(error)] * count)
    try:
        function = prepare(pool, helpers, initializer, initargs)(function)
    except (Exception, SystemExit) as error:
        _, what, text = travel(error)
        return 0.0, *pack([(None, what, text)] * count)
    begun = time.perf_counter()
    if limits is None:
        outcomes = [run_one(function, mode, item) for item in items]
    else:
        outcomes = [run_with_limits(function, mode, item, limits) for item in items]
    return time.perf_counter() - begun, *pack(outcomes)


def run_one(function: Callable[..., Any], mode: str, item: Any) -> tuple[Any, ...]:
    """Run one task; (True, value), or (False, exception, traceback)."""
    try:
        if mode == "one":
            return True, function(item)
        if mode == "star":
            return True, function(*item)
        args, kwargs = item
        return True, function(*args, **kwargs)
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        return travel(error)


def run_with_limits(
    function: Callable[..., Any], mode: str, item: Any, limits: dict[str, Any]
) -> tuple[Any, ...]:
    """Run one task as often as its retries allow, each time within its timeouts."""
    import time

    attempt = 1
    while True:
        outcome = run_timed(
            function, mode, item, limits["timeout"], limits["soft_timeout"], limits["soft_error"]
        )
        if outcome[0] or attempt > limits["retries"] or not isinstance(outcome[1], limits["retry_on"]):
            return outcome
        time.sleep(min(limits["backoff"] * 2.0 ** (attempt - 1), 60.0))
        attempt += 1


def run_timed(
    function: Callable[..., Any],
    mode: str,
    item: Any,
    timeout: float | None,
    soft_timeout: float | None,
    soft_error: bytes,
) -> tuple[Any, ...]:
    """Run one task in a thread of its own; after *timeout* seconds the outcome is ("timeout", seconds, stack) and the
    thread is left to itself. After *soft_timeout* seconds SoftTimeoutError is raised in it.
    """
    if timeout is None and soft_timeout is None:
        return run_one(function, mode, item)
    import ctypes
    import pickle
    import sys
    import threading
    import time
    import traceback

    from distributed.worker import thread_state

    outcomes: list[tuple[Any, ...]] = []
    state = dict(thread_state.__dict__)

    def run() -> None:
        thread_state.__dict__.update(state)  # get_worker() and get_client() look there
        outcomes.append(run_one(function, mode, item))

    def stop(kind: type[BaseException]) -> None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(kind))

    thread = threading.Thread(target=run, name="procession-task", daemon=True)
    begun = time.monotonic()
    thread.start()
    if soft_timeout is not None and (timeout is None or soft_timeout < timeout):
        thread.join(soft_timeout)
        if thread.is_alive():
            try:
                stop(pickle.loads(soft_error))
            except ImportError:  # a worker without procession
                stop(TimeoutError)
    thread.join(None if timeout is None else max(0.0, timeout - (time.monotonic() - begun)))
    if outcomes:
        return outcomes[0]
    if not thread.is_alive():
        return travel(RuntimeError("the task ended its thread without an outcome"))
    frame = sys._current_frames().get(thread.ident or 0)
    stack = "".join(traceback.format_stack(frame)) if frame is not None else None
    stop(SystemExit)
    return "timeout", timeout, stack


def pack(outcomes: list[tuple[Any, ...]]) -> tuple[bytes, list[Any]]:
    """Pickle outcomes, big buffers beside the pickle; one that cannot be pickled becomes ("encoding", why, what)."""
    import cloudpickle

    def dump(what: Any) -> tuple[bytes, list[Any]]:
        buffers: list[Any] = []

        def beside(buffer: Any) -> bool:
            try:
                raw = buffer.raw()
            except BufferError:
                return True
            if raw.nbytes < OUT_OF_BAND:
                return True
            buffers.append(raw)
            return False

        return cloudpickle.dumps(what, protocol=5, buffer_callback=beside), buffers

    simple = {int, float, str, bool, type(None)}
    if all(outcome[0] is True and type(outcome[1]) in simple for outcome in outcomes):
        import pickle

        return pickle.dumps(outcomes, 5), []  # four times as quick for one number
    try:
        return dump(outcomes)
    except (Exception, SystemExit, KeyboardInterrupt):
        sound = []
        for outcome in outcomes:
            try:
                dump(outcome)
                sound.append(outcome)
            except (Exception, SystemExit, KeyboardInterrupt) as error:
                sound.append(("encoding", repr(error), shown(outcome[1])))
        return dump(sound)


def shown(value: Any) -> str:
    """Return ``repr(value)``, or a placeholder where that raises."""
    try:
        return repr(value)
    except Exception as error:
        return f"<{type(value).__qualname__} object; its repr() raised {type(error).__name__}>"


def put(item: Any, key: Any, value: Any) -> Any:
    """Return *item* with *value* where a big argument was taken out: key None is the item itself, else
    (part, index or name).
    """
    if key is None:
        return value
    part, at = key
    if part is None:
        parts = list(item)
        parts[at] = value
        return tuple(parts)
    args, kwargs = item
    if part == "args":
        return put(args, (None, at), value), kwargs
    return args, {**kwargs, at: value}


def run_process(work: bytes) -> int:
    """Run a Process's target; the exit code that a process would have had."""
    import sys
    import traceback

    import cloudpickle

    try:
        target, args, kwargs = cloudpickle.loads(work)
        target(*args, **kwargs)
    except SystemExit as stop:
        if stop.code is None:
            return 0
        if isinstance(stop.code, int):
            return stop.code
        sys.stderr.write(f"{stop.code}\n")
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0
