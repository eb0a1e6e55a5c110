"""Compare the public names and signatures of procession with those of multiprocessing's documentation.

Usage: ``python tools/check_api.py``.  API below is the newest documentation, name by name; the names of
parameters must be the same here, in the same order and with the same defaults. Further parameters may follow.
Ends with status 1 if something is missing or different.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path
from typing import Any

for source in sorted((Path(__file__).resolve().parent.parent / "packages").glob("*/src")):
    if str(source) not in sys.path:
        sys.path.append(str(source))

# module -> one line an object: its name, and for what is called its parameters. Methods stand below their class.
API = """
procession
    Process(group=None, target=None, name=None, args=(), kwargs=…, *, daemon=None)
    Process.run() start() join(timeout=None) is_alive() terminate() kill() interrupt() close()
    Process: name daemon pid exitcode authkey sentinel
    ProcessError BufferTooShort AuthenticationError TimeoutError
    Pipe(duplex=True)
    Queue(maxsize=0)
    Queue.qsize() empty() full() put(obj, block=True, timeout=None) put_nowait(obj) get(block=True, timeout=None)
    Queue.get_nowait() close() join_thread() cancel_join_thread()
    SimpleQueue()
    SimpleQueue.close() empty() get() put(obj)
    JoinableQueue(maxsize=0)
    JoinableQueue.task_done() join()
    active_children() cpu_count() current_process() parent_process() freeze_support() get_all_start_methods()
    get_context(method=None) get_start_method(allow_none=False) set_executable(executable)
    set_forkserver_preload(module_names, *, on_error='ignore') set_start_method(method, force=False)
    Barrier(parties, action=None, timeout=None)
    Barrier.wait(timeout=None) reset() abort()
    Barrier: parties n_waiting broken
    BoundedSemaphore(value=1)
    BoundedSemaphore.acquire(block=True, timeout=None) release() locked() get_value()
    Condition(lock=None)
    Condition.acquire(block=True, timeout=None) release() wait(timeout=None) wait_for(predicate, timeout=None)
    Condition.notify(n=1) notify_all()
    Event()
    Event.is_set() set() clear() wait(timeout=None)
    Lock()
    Lock.acquire(block=True, timeout=None) release() locked()
    RLock()
    RLock.acquire(block=True, timeout=None) release() locked()
    Semaphore(value=1)
    Semaphore.acquire(block=True, timeout=None) release() locked() get_value()
    Value(typecode_or_type, *args, lock=True)
    Array(typecode_or_type, size_or_initializer, *, lock=True)
    RawValue(typecode_or_type, *args)
    RawArray(typecode_or_type, size_or_initializer)
    Manager()
    Pool(processes=None, initializer=None, initargs=(), maxtasksperchild=None)
    get_logger() log_to_stderr(level=None)
procession.connection
    Connection.send(obj) recv() fileno() close() poll(timeout=0.0) send_bytes(buf, offset=0, size=None)
    Connection.recv_bytes(maxlength=None) recv_bytes_into(buf, offset=0)
    deliver_challenge(connection, authkey) answer_challenge(connection, authkey)
    Client(address, family=None, authkey=None)
    Listener(address=None, family=None, backlog=1, authkey=None)
    Listener.accept() close()
    Listener: address last_accepted
    wait(object_list, timeout=None)
procession.sharedctypes
    RawArray(typecode_or_type, size_or_initializer)
    RawValue(typecode_or_type, *args)
    Array(typecode_or_type, size_or_initializer, *, lock=True)
    Value(typecode_or_type, *args, lock=True)
    copy(obj)
    synchronized(obj, lock=None)
procession.managers
    BaseManager(address=None, authkey=None, serializer='pickle', ctx=None, *, shutdown_timeout=1.0)
    BaseManager.start(initializer=None, initargs=()) get_server() connect()
    BaseManager.register(typeid, callable=None, proxytype=None, exposed=None, method_to_typeid=None, create_method=True)
    BaseManager: address
    SyncManager.Barrier(parties, action=None, timeout=None)? BoundedSemaphore(value=1)? Condition(lock=None)? Event()?
    SyncManager.Lock()? Namespace()? Queue(maxsize=0)? RLock()? Semaphore(value=1)? Array(typecode, sequence)?
    SyncManager.Value(typecode, value)? dict()? list()? set()?
    Namespace BaseProxy RemoteError
    SharedMemoryManager(*args, **kwargs)?
    SharedMemoryManager.SharedMemory(size) ShareableList(sequence)
procession.pool
    Pool(processes=None, initializer=None, initargs=(), maxtasksperchild=None, context=None)
    Pool.apply(func, args=(), kwds=…) apply_async(func, args=(), kwds=…, callback=None, error_callback=None)
    Pool.map(func, iterable, chunksize=None)
    Pool.map_async(func, iterable, chunksize=None, callback=None, error_callback=None)
    Pool.imap(func, iterable, chunksize=1) imap_unordered(func, iterable, chunksize=1)
    Pool.starmap(func, iterable, chunksize=None)
    Pool.starmap_async(func, iterable, chunksize=None, callback=None, error_callback=None)
    Pool.close() terminate() join()
    AsyncResult.get(timeout=None) wait(timeout=None) ready() successful()
    ThreadPool(processes=None, initializer=None, initargs=())
procession.shared_memory
    SharedMemory(name=None, create=False, size=0, *, track=True)
    SharedMemory.close() unlink()
    SharedMemory: buf name size
    ShareableList(sequence=None, *, name=None)
    ShareableList.count(value) index(value)
    ShareableList: format shm
procession.dummy
    Process Queue JoinableQueue Pipe Lock RLock Semaphore BoundedSemaphore Condition Event Barrier Value Array Manager
    Namespace Pool active_children cpu_count? current_process freeze_support
procession.context
    BaseContext DefaultContext ForkContext SpawnContext ForkServerContext Process
procession.util
    DEBUG INFO SUBDEBUG SUBWARNING Finalize debug get_logger info is_exiting log_to_stderr register_after_fork sub_debug
"""


# Classes that give their objects some of the attributes when they are made.
ON_OBJECTS: dict[str, tuple[Any, ...]] = {
    "BaseManager": (),
    "BoundedSemaphore": (),
    "Condition": (),
    "Lock": (),
    "RLock": (),
    "Semaphore": (),
    "ShareableList": ((1,),),
}


def words(text: str) -> list[str]:
    """Split at blanks that stand outside parentheses."""
    found, depth, start = [], 0, 0
    for position, character in enumerate(text + " "):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == " " and depth == 0:
            if text[start:position].strip():
                found.append(text[start:position].strip())
            start = position + 1
    return found


def check(module: Any, line: str) -> list[str]:
    """Return what is wrong with one line of API."""
    owner: Any = module
    where = module.__name__
    head, colon, rest = line.partition(": ")
    if colon and "(" not in head:
        return [
            f"{where}.{head}.{name}: missing" for name in rest.split() if not has(getattr(module, head), name)
        ]
    problems = []
    first, *others = words(line)
    cls, dot, _ = first.partition("(")[0].partition(".")
    if dot:
        owner = getattr(module, cls, None)
        if owner is None:
            return [f"{where}.{cls}: missing"]
        where = f"{where}.{cls}"
        first = first.removeprefix(f"{cls}.")
    for word in (first, *others):
        name = word.partition("(")[0].rstrip("?")
        if not has(owner, name):
            problems.append(f"{where}.{name}: missing")
        elif "(" in word and not word.endswith("?") and hasattr(owner, name):
            problem = compare(getattr(owner, name), word[word.index("(") :], bound=not dot)
            problems += [f"{where}.{name}: {problem}"] if problem else []
    return problems


def has(owner: Any, name: str) -> bool:
    """Say whether *owner*, or an object of it where the class says less, has attribute *name*."""
    if hasattr(owner, name):
        return True
    arguments = ON_OBJECTS.get(getattr(owner, "__name__", ""))
    if arguments is None:
        return False
    made = owner(*arguments)
    try:
        return hasattr(made, name)
    finally:
        if name == "shm":
            made.shm.close()
            made.shm.unlink()


def compare(found: Any, documented: str, bound: bool) -> str | None:
    """Return how the signature of *found* differs from the *documented* one, or None."""
    try:
        ours = list(inspect.signature(found).parameters.values())
    except (TypeError, ValueError):
        return None if getattr(found, "__doc__", None) else "has neither signature nor docstring"
    if not bound and ours and ours[0].name in ("self", "cls"):
        ours = ours[1:]
    namespace: dict[str, Any] = {}
    exec(f"def wanted{documented.replace('…', 'None')}: ...", namespace)
    by_name = {parameter.name: parameter for parameter in ours}
    positional = [p.name for p in ours if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    takes_rest = any(p.kind is p.VAR_POSITIONAL for p in ours) and any(p.kind is p.VAR_KEYWORD for p in ours)
    if takes_rest:
        return None
    order = 0
    for wanted in inspect.signature(namespace["wanted"]).parameters.values():
        if wanted.kind is wanted.VAR_POSITIONAL:
            if not any(p.kind is p.VAR_POSITIONAL for p in ours):
                return f"takes no *{wanted.name}"
            continue
        parameter = by_name.get(wanted.name)
        if parameter is None:
            return f"no parameter {wanted.name!r} in {inspect.signature(found)}; documented {documented}"
        if wanted.kind is wanted.POSITIONAL_OR_KEYWORD:
            if order >= len(positional) or positional[order] != wanted.name:
                return f"parameter {wanted.name!r} is not number {order + 1} in {inspect.signature(found)}"
            order += 1
        if wanted.default is not wanted.empty and parameter.default is parameter.empty:
            return f"parameter {wanted.name!r} has no default"
        if wanted.default not in (wanted.empty, None) and parameter.default != wanted.default:
            return f"parameter {wanted.name!r} is {parameter.default!r} by default, documented {wanted.default!r}"
    needed = [p.name for p in ours[order:] if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    return f"further parameters without default: {needed}" if needed else None


def problems() -> list[str]:
    """Return everything that is missing or different."""
    found: list[str] = []
    module: Any = None
    for line in API.splitlines():
        if not line.strip():
            continue
        if not line.startswith(" "):
            module = importlib.import_module(line)
            continue
        found += check(module, line.strip())
    return found


def main() -> int:
    """The command."""
    found = problems()
    for problem in found:
        print(problem)
    print(f"{len(found)} difference(s) from the documentation")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
