"""What runs on the cluster's workers.

These functions are sent by value: the workers need no procession installed, only what the tasks
themselves import. So this
file imports nothing of procession, and what must be kept between two tasks is kept on Dask's worker object.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


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
            except Exception as error:
                done[pool] = error
    if done[pool] is not None:
        raise done[pool]


def travel(error: BaseException) -> tuple[bool, Any, str]:
    """Return how an exception is sent: (False, the exception or its description, its traceback)."""
    import traceback

    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    error.__traceback__ = None
    import cloudpickle

    try:
        cloudpickle.loads(cloudpickle.dumps(error))
    except Exception as why:
        return False, (f"{type(error).__module__}.{type(error).__qualname__}", str(error), repr(why)), text
    return False, error, text


def run_chunk(
    pool: str, start: bytes, chunk: bytes, mode: str, *big: Any
) -> tuple[float, list[tuple[Any, ...]]]:
    """Run the tasks of a chunk one after another; the seconds it took, and an outcome for each.

    An outcome is (True, value), (False, exception, traceback), or for an initializer's failure (None,
    exception, traceback).
    What the user's code is needed to unpickle is unpickled here, so that the scheduler never has to
    import it; *big* are the
    arguments that were sent to the cluster beforehand.
    """
    import time

    import cloudpickle

    function, items = None, [None]
    try:
        function, items, places = cloudpickle.loads(chunk)
        for (index, key), value in zip(places, big, strict=True):
            items[index] = put(items[index], key, value)
        initializer, initargs = cloudpickle.loads(start)
    except Exception as error:
        return 0.0, [travel(error)] * len(items)
    try:
        initialise(pool, initializer, initargs)
    except Exception as error:
        _, what, text = travel(error)
        return 0.0, [(None, what, text)] * len(items)
    begun = time.perf_counter()
    outcomes: list[tuple[Any, ...]] = []
    for item in items:
        try:
            if mode == "one":
                value = function(item)
            elif mode == "star":
                value = function(*item)
            else:
                args, kwargs = item
                value = function(*args, **kwargs)
            outcomes.append((True, value))
        except (Exception, SystemExit) as error:
            outcomes.append(travel(error))
    return time.perf_counter() - begun, outcomes


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
