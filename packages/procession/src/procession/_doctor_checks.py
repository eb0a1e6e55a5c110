"""A self-test of each layer: small, quick, and in an interpreter of its own, so that nothing can hang the doctor."""

from __future__ import annotations

import subprocess
import sys
import time

from procession_native import build_info, core

from ._lazy import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ("CHECKS", "run_apart", "run_here")

_SKIPPED = "skipped: "
_STARTS = 5


# ---- what runs in children ------------------------------------------------------------------------------


def _nothing() -> None:
    pass


def _answer(queue: Any, results: Any) -> None:
    results.put(queue.get() * 2)


def _add(value: Any, lock: Any) -> None:
    for _ in range(100):
        with lock:
            value.value += 1


def _hold(lock: Any, event: Any) -> None:
    lock.acquire()
    event.set()
    time.sleep(600)


def _square(number: int) -> int:
    return number * number


def _expect(found: object, wanted: object) -> None:
    if found != wanted:
        raise RuntimeError(f"got {found!r} instead of {wanted!r}")


# ---- the checks -----------------------------------------------------------------------------------------


def _core() -> str:
    reducer = load("procession_core").default_reducer
    _expect(reducer.loads(bytes(reducer.dumps({"a": [1, 2.5, "x"]}))), {"a": [1, 2.5, "x"]})
    return "an object was pickled and loaded"


def _native() -> str:
    if core is None:
        return _SKIPPED + build_info()
    core.ensure()
    block = core.Block(1 << 20)
    memoryview(block)[:4] = b"abcd"
    _expect(bytes(memoryview(block)[:4]), b"abcd")
    problem = core.check()
    if problem:
        raise RuntimeError(problem)
    return f"the arena works; {core.memory()['used']} bytes used by a block of 1 MiB"


def _shm() -> str:
    shm = load("procession_shm")
    segment = shm.SharedMemory(create=True, size=4096)
    try:
        other = shm.SharedMemory(name=segment.name)
        segment.buf[:3] = b"abc"
        _expect(bytes(other.buf[:3]), b"abc")
        other.close()
    finally:
        segment.close()
        segment.unlink()
    return "a segment was made, opened by name and removed"


def _connection() -> str:
    connection = load("procession_connection")
    a, b = connection.Pipe()
    a.send({"x": 1})
    _expect(b.recv(), {"x": 1})
    with connection.Listener(("127.0.0.1", 0), authkey=b"doctor") as listener:
        import threading

        accepted: list[Any] = []
        thread = threading.Thread(target=lambda: accepted.append(listener.accept()), daemon=True)
        thread.start()
        client = connection.Client(listener.address, authkey=b"doctor")
        thread.join()
        client.send("hello")
        _expect(accepted[0].recv(), "hello")
    return "a pipe and an authenticated connection over loopback carried messages"


def _start(method: str) -> str:
    process = load("procession_process")
    if method not in process.get_all_start_methods():
        return f"{_SKIPPED}this platform has no {method}"
    context = load("procession").get_context(method)
    times = []
    for _ in range(_STARTS + 1):
        begun = time.perf_counter()
        child = context.Process(target=_nothing)
        child.start()
        child.join()
        times.append((time.perf_counter() - begun) * 1000)
        _expect(child.exitcode, 0)
    later = sorted(times[1:])[_STARTS // 2]
    return f"start and join: {times[0]:.1f} ms the first time, then {later:.1f} ms"


def _synchronize() -> str:
    mp = load("procession")
    value, lock = mp.RawValue("i", 0), mp.Lock()
    children = [mp.Process(target=_add, args=(value, lock)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    _expect(value.value, 300)
    return "three processes counted to 300 under a lock"


def _queues() -> str:
    mp = load("procession")
    queue, results = mp.Queue(), mp.Queue()
    child = mp.Process(target=_answer, args=(queue, results))
    child.start()
    queue.put(21)
    _expect(results.get(timeout=20), 42)
    child.join()
    return "a child answered through a queue"


def _sharedctypes() -> str:
    mp = load("procession")
    value = mp.Value("i", 5)
    child = mp.Process(target=_add, args=(value, value.get_lock()))
    child.start()
    child.join()
    _expect(value.value, 105)
    return "a child changed a shared value"


def _pool() -> str:
    with load("procession").Pool(2) as pool:
        _expect(pool.map(_square, range(20)), [n * n for n in range(20)])
    return "two workers computed 20 squares"


def _managers() -> str:
    with load("procession").Manager() as manager:
        table = manager.dict()
        table["a"] = 1
        _expect(dict(table), {"a": 1})
    return "a server process kept a dictionary"


def _dummy() -> str:
    dummy = load("procession.dummy")
    if not hasattr(dummy, "Pool"):
        return f"{_SKIPPED}not in this version"
    with dummy.Pool(2) as pool:
        _expect(pool.map(_square, range(5)), [0, 1, 4, 9, 16])
    return "two threads computed 5 squares"


def _death() -> str:
    if core is None:
        return _SKIPPED + "only the C core repairs what a killed process held"
    mp = load("procession")
    lock, event = mp.Lock(), mp.Event()
    child = mp.Process(target=_hold, args=(lock, event))
    child.start()
    event.wait()
    child.kill()
    begun = time.perf_counter()
    try:
        lock.acquire(timeout=20)
    except mp.OwnerDiedError:
        pass
    else:
        raise RuntimeError("acquire() did not say that the owner died")
    took = (time.perf_counter() - begun) * 1000
    child.join()
    return f"a killed process's lock was noticed after {took:.1f} ms"


def _fork() -> str:
    return _start("fork")


def _spawn() -> str:
    return _start("spawn")


def _forkserver() -> str:
    return _start("forkserver")


CHECKS: dict[str, Callable[[], str]] = {
    "core": _core,
    "native": _native,
    "shm": _shm,
    "connection": _connection,
    "fork": _fork,
    "spawn": _spawn,
    "forkserver": _forkserver,
    "synchronize": _synchronize,
    "queues": _queues,
    "sharedctypes": _sharedctypes,
    "pool": _pool,
    "managers": _managers,
    "dummy": _dummy,
    "death": _death,
}


def run_here(name: str) -> None:
    """Run one check in this process and print what it found."""
    print(CHECKS[name]())


def run_apart(name: str, seconds: float) -> tuple[bool | None, str]:
    """Run one check in a fresh interpreter; return whether it passed (None: does not apply) and what it said."""
    code = f"import sys; sys.path[:] = {sys.path!r}; from procession._doctor_checks import run_here; run_here({name!r})"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        return False, f"did not end within {seconds:g} s"
    text = done.stdout.strip()
    if done.returncode == 0:
        if text.startswith(_SKIPPED):
            return None, text
        return True, text
    lines = done.stderr.strip().splitlines() or [f"ended with status {done.returncode}"]
    return False, lines[-1]
