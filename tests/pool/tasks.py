"""What the pool tests let workers do; at module level so that every start method finds it."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import signal
import sys
import threading
import time
from typing import Any


def square(x: Any) -> Any:
    return x * x


def add(a: int, b: int = 0, *, c: int = 0) -> int:
    return a + b + c


def same(x: Any) -> Any:
    return x


def slow_square(x: int) -> int:
    time.sleep(0.002)
    return x * x


def sum_in_a_pool(count: int) -> int:
    """A pool in a worker, which may have children only if it is not a daemon."""
    from procession_pool import Pool

    with Pool(2) as pool:
        return sum(pool.map(square, range(count)))


def logged(*args: Any) -> str:
    """Return what a log record of this call says of its task."""
    return logging.getLogger().makeRecord("x", 20, "f", 1, "m", (), None).poolTask  # type: ignore[attr-defined]


class Logger:
    def log(self, x: int) -> str:
        return logged(x)


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def pid(_: object = None) -> int:
    return os.getpid()


def name_of_worker() -> str:
    from procession_process import current_process

    return current_process().name


def fail_on(bad: int, x: int) -> int:
    if x == bad:
        raise ValueError(f"bad {x}")
    return x


def raise_value(x: object) -> None:
    raise ValueError(x)


def crash() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def segfault() -> None:
    ctypes.string_at(0)


def hard_exit() -> None:
    os._exit(17)


def soft_exit() -> None:
    sys.exit(3)


def wrong() -> None:
    raise RuntimeError("wrong")


def interrupt() -> None:
    raise KeyboardInterrupt


ACTS = {
    "crash": crash,
    "segfault": segfault,
    "exit": hard_exit,
    "sysexit": soft_exit,
    "raise": wrong,
    "interrupt": interrupt,
}


def act(name: str) -> None:
    ACTS[name]()


class ActsAtUnpickle:
    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> Any:
        return act, (self.name,)


class ActsAtPickle:
    """In the worker; pickling it in the test's own process is harmless."""

    def __init__(self, name: str, home: int) -> None:
        self.name = name
        self.home = home

    def __reduce__(self) -> Any:
        if os.getpid() != self.home:
            act(self.name)
        return ActsAtPickle, (self.name, self.home)


def return_acting(name: str, home: int) -> Any:
    return ActsAtPickle(name, home)


class ActsInGC:
    def __init__(self, name: str) -> None:
        self.name = name
        self.cycle = self

    def __del__(self) -> None:
        act(self.name)


def act_in_gc(name: str) -> str:
    ActsInGC(name)
    gc.collect()
    return "survived"


def act_with_lock(name: str) -> None:
    lock = threading.Lock()
    with lock:
        act(name)


def act_in_thread(name: str) -> str:
    thread = threading.Thread(target=act, args=(name,))
    thread.start()
    thread.join()
    return "survived"


class Stubborn(Exception):
    """Its __init__ needs what pickle does not give back."""

    def __init__(self, one: object, two: object) -> None:
        super().__init__(f"{one} and {two}")


class Unpicklable(Exception):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


def raise_stubborn() -> None:
    raise Stubborn(1, 2)


def raise_unpicklable() -> None:
    raise Unpicklable("has a lock")


def return_lock() -> Any:
    return threading.Lock()


class BadAtHome:
    """A result that cannot be unpickled."""

    def __reduce__(self) -> Any:
        return raise_value, ("no way back",)


def return_bad_at_home() -> Any:
    return BadAtHome()


def die_if_odd_first_time(path: str, x: int) -> int:
    marker = os.path.join(path, str(x))
    if x % 2 and not os.path.exists(marker):
        with open(marker, "w"):
            pass
        crash()
    return x


def spin(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def catch_soft_timeout() -> str:
    from procession_pool import SoftTimeoutError

    try:
        spin(30)
    except SoftTimeoutError:
        return "cleaned up"
    return "not interrupted"


def eat_memory(megabytes: int) -> int:
    return len(bytearray(megabytes << 20))


def set_state(value: object) -> object:
    from procession_pool import worker_state

    worker_state().value = value
    return ("initialised", value)


def get_state() -> object:
    from procession_pool import worker_state

    return worker_state().value


def farewell() -> object:
    return ("bye", os.getpid())


def nested(n: int) -> list[int]:
    from procession_pool import ThreadPool

    with ThreadPool(2) as pool:
        return pool.map(square, range(n))


def touch(path: str, x: int) -> int:
    with open(os.path.join(path, f"{x}-{os.getpid()}-{time.monotonic_ns()}"), "w"):
        pass
    return x


def nap_and_pid(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def nap_at_home(home: int, seconds: float) -> str:
    if os.getpid() == home:
        time.sleep(seconds)
    return "awake"


def private_data() -> int:
    """Bytes that this process has mapped for itself alone, as far as that can be told."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmData:"))
    except FileNotFoundError:
        return 100 << 20


hoarded: list[Any] = []


def hoard() -> None:
    while True:
        hoarded.append("x" * 1000)
        hoarded.append([None] * 100)


def hoard_all_but(spare: int, how: str, more: object = None) -> object:
    """Use up the memory, give back about *spare* bytes of it, and end."""
    gc.disable()
    chain: Any = None
    for size in (100_000, 1000, 480, 240, 112, 48, 16):
        try:
            while True:
                chain = (chain, bytes(size))
        except MemoryError:
            pass
    while spare > 0 and chain is not None:
        spare -= len(chain[1]) + 90
        chain = chain[0]
    hoarded.append(chain)
    if how == "raise":
        raise ValueError(how)
    return {"how": how} if how == "object" else 7


def cannot_even_report() -> None:
    """As a worker that has not the memory for the report of its MemoryError."""
    from procession_core import default_reducer

    def no_memory(obj: object) -> bytes:
        raise MemoryError

    default_reducer.dumps = no_memory  # type: ignore[method-assign,assignment]
    raise MemoryError


def abort() -> None:
    os.abort()


def with_shared_lock(name: str | None) -> str:
    """Do what *name* says while holding the lock that the initializer has left in the worker's state."""
    from procession_pool import worker_state

    with worker_state().value:  # type: ignore[attr-defined]
        if name is not None:
            act(name)
    return "done"


def wait_for_nothing() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def ignore_soft_timeouts() -> None:
    from procession_pool import SoftTimeoutError

    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            spin(30)
        except SoftTimeoutError:
            pass
