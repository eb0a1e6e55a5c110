"""Managers as the documentation describes them, and what they add to it."""

from __future__ import annotations

import asyncio
import gc
import operator
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, MutableMapping, MutableSequence, MutableSet
from typing import Any

import pytest

import procession_core
import procession_managers
import procession_process
from procession_connection import Client, Pipe
from procession_managers import BaseManager, RemoteError, SyncManager
from procession_process import active_children
from procession_synchronize import Event

from .waiting import at_once, until

children: Any = sys.modules["managers_children"]


class MyManager(SyncManager):
    pass


MyManager.register("Thing", children.Thing)
MyManager.register("Linked", children.Thing, method_to_typeid={"itself": "Thing"})
MyManager.register(
    "Views", dict, exposed=("__setitem__", "items", "get"), method_to_typeid={"items": "list", "get": "dict"}
)
MyManager.register("operator", callable=lambda: __import__("operator"), exposed=("add", "pow"))


def start(target: Callable[..., Any], *args: Any) -> Any:
    process = procession_process.ForkProcess(target=target, args=args)
    process.start()
    return process


# ---- types -----------------------------------------------------------------------------------------------


def test_dict(manager: SyncManager) -> None:
    d = manager.dict({"a": 1})
    d["b"] = 2
    assert d["a"] == 1 and len(d) == 2 and "b" in d
    assert d.keys() == ["a", "b"] and d.values() == [1, 2] and d.items() == [("a", 1), ("b", 2)]
    assert d | {"c": 3} == {"a": 1, "b": 2, "c": 3} and {"z": 0} | d == {"z": 0, "a": 1, "b": 2}
    same = d
    d |= {"c": 3}
    assert d is same and list(d) == ["a", "b", "c"] and list(reversed(d)) == ["c", "b", "a"]
    assert isinstance(d, MutableMapping)
    with pytest.raises(KeyError):
        d["missing"]


def test_list(manager: SyncManager) -> None:
    items = manager.list([1, 2])
    items += [3]
    items.append(4)
    assert items * 2 == [1, 2, 3, 4] * 2 == 2 * items and items + [5] == [1, 2, 3, 4, 5]
    assert items[1:3] == [2, 3] and list(items) == [1, 2, 3, 4] and isinstance(items, MutableSequence)
    items.clear()
    assert (
        items.copy() == []
        and str(items) == "[]"
        and repr(items).startswith("<ListProxy object, typeid 'list' at")
    )


def test_set(manager: SyncManager) -> None:
    s = manager.set({1, 2})
    s |= {3}
    assert s == {1, 2, 3} and s & {1} == {1} and s - {1} == {2, 3} and s ^ {1, 4} == {2, 3, 4}
    assert (
        {9} | s == {1, 2, 3, 9} and s < {1, 2, 3, 4} and sorted(s) == [1, 2, 3] and isinstance(s, MutableSet)
    )
    assert not isinstance(s, MutableMapping)
    with pytest.raises(TypeError):
        s |= [1]


def test_queue(manager: SyncManager) -> None:
    q = manager.Queue(1)
    q.put(1)
    with pytest.raises(queue.Full):
        q.put(2, timeout=0.01)
    assert q.get() == 1
    with pytest.raises(queue.Empty):
        q.get_nowait()
    q.task_done()
    q.join()


def test_getter_waits_without_holding_others_up(manager: SyncManager) -> None:
    q = manager.Queue()
    got: list[Any] = []
    threads = [threading.Thread(target=lambda: got.append(q.get())) for _ in range(50)]
    for thread in threads:
        thread.start()
    d = manager.dict()
    for number in range(50):
        d[number] = number
        q.put(number)
    for thread in threads:
        thread.join(20)
    assert sorted(got) == list(range(50))


def test_rlock_belongs_to_a_thread(manager: SyncManager) -> None:
    lock = manager.RLock()
    assert lock.acquire() and lock.acquire()
    seen: list[Any] = []
    thread = threading.Thread(target=lambda: seen.append(lock.acquire(False)))
    thread.start()
    thread.join()
    assert seen == [False]
    lock.release()
    lock.release()
    with pytest.raises((AssertionError, RuntimeError)):
        lock.release()


def test_condition_of_a_lock(manager: SyncManager) -> None:
    lock = manager.Lock()
    condition = manager.Condition(lock)
    results: list[Any] = []

    def waiter() -> None:
        with condition:
            results.append(condition.wait(20))

    thread = threading.Thread(target=waiter)
    with condition:
        assert condition.wait(0.01) is False
    thread.start()
    until(lambda: ", 1)" in str(condition))
    with condition:
        condition.notify()
    thread.join(20)
    assert results == [True]
    with pytest.raises(RuntimeError):
        condition.notify()


def test_barrier_and_event_and_semaphore(manager: SyncManager) -> None:
    barrier = manager.Barrier(2)
    numbers: list[int] = []
    thread = threading.Thread(target=lambda: numbers.append(barrier.wait(20)))
    thread.start()
    numbers.append(barrier.wait(20))
    thread.join()
    assert sorted(numbers) == [0, 1] and barrier.parties == 2 and not barrier.broken
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait(0.01)
    event = manager.Event()
    assert event.wait(0.01) is False
    event.set()
    assert event.wait() is True
    semaphore = manager.BoundedSemaphore(1)
    assert semaphore.acquire() and not semaphore.acquire(timeout=0.01) and semaphore.locked()
    semaphore.release()
    with pytest.raises(ValueError, match="released too many"):
        semaphore.release()


def test_values(manager: SyncManager) -> None:
    value = manager.Value("i", 1)
    value.value += 1
    assert value.value == 2 and value.add(5) == 7 and str(value) == "Value('i', 7)"
    space = manager.Namespace(x=1)
    space.y = 2
    space._local = 3
    assert str(space) == "Namespace(x=1, y=2)" and space._local == 3
    del space.x
    with pytest.raises(AttributeError):
        space.x  # noqa: B018
    array = manager.Array("i", [1, 2])
    array[0] = 5
    assert list(array) == [5, 2]


# ---- customized managers -----------------------------------------------------------------------------------


def test_registered_types() -> None:
    with MyManager() as manager:
        thing = manager.Thing(5)
        assert thing.quick() == 6 and thing.where() == manager._process.pid
        assert not hasattr(thing, "_inner")
        module = manager.operator()
        assert module.add(23, 45) == 68 and module._exposed_ == ("add", "pow")
        with pytest.raises(RemoteError, match="exposed"):
            module._callmethod("mul", (1, 2))
        linked = manager.Linked()
        assert linked.itself().quick() == 1 and linked.quick() == 2


def test_errors_bring_the_traceback() -> None:
    with MyManager() as manager:
        thing = manager.Thing()
        with pytest.raises(LookupError, match="deep down") as caught:
            thing.fail_deeply()
        assert "_inner" in str(caught.value.__cause__)
        with pytest.raises(RemoteError, match="Unserializable"):
            thing.unpicklable()
        assert thing.quick() == 1


def test_a_call_that_blocks_holds_nobody_up() -> None:
    with MyManager() as manager:
        thing = manager.Thing()
        event = manager.Event()
        threads = [threading.Thread(target=event.wait, args=(60,)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            assert thing.quick()
        assert not event.is_set() and all(thread.is_alive() for thread in threads)
        event.set()
        for thread in threads:
            thread.join()


def test_a_server_in_this_process() -> None:
    server = MyManager(("127.0.0.1", 0), b"key").get_server()

    def serve() -> None:
        with pytest.raises(SystemExit):
            server.serve_forever()

    thread = threading.Thread(target=serve)
    thread.start()
    manager = MyManager.from_address(server.address, b"key")
    items = manager.list([1])
    assert list(items) == [1]
    with pytest.raises(procession_core.AuthenticationError):
        MyManager.from_address(server.address, b"wrong")
    del items
    manager._link_to(server.address).request("shutdown")
    thread.join(20)
    assert not thread.is_alive()
    until(lambda: not any(thread.name == "procession-manager-accept" for thread in threading.enumerate()))


def test_two_managers_of_one_server() -> None:
    with MyManager(("127.0.0.1", 0), b"key") as manager:
        items = manager.list([0])
        first = MyManager.from_address(manager.address, b"key")
        theirs = first.list([1])
        second = MyManager.from_address(manager.address, b"key")
        others = second.list([2])
        assert [*items, *theirs, *others] == [0, 1, 2] and manager._number_of_objects() == 3


def test_another_server_at_the_address() -> None:
    manager = MyManager(("127.0.0.1", 0), b"key")
    manager.start()
    old = manager.list([1])
    manager.shutdown()
    with MyManager(manager.address, b"key") as again:
        assert MyManager.from_address(again.address, b"key").list([2])[0] == 2
        with pytest.raises((RemoteError, procession_core.ServerDiedError)):
            len(old)


def test_xmlrpc() -> None:
    with MyManager(serializer="xmlrpclib") as manager:
        thing = manager.Thing(1)
        assert thing.quick() == 2
        items = manager.list([1, "a"])
        items.append(2)
        assert items[2] == 2


def test_states() -> None:
    manager = BaseManager()
    with pytest.raises(AssertionError):
        manager._create("x")
    manager.start()
    with pytest.raises(procession_core.ProcessError, match="Already started"):
        manager.start()
    manager.shutdown()
    with pytest.raises(procession_core.ProcessError, match="shut down"):
        manager.start()
    with pytest.raises(TypeError):
        BaseManager().start(initializer=3)


def test_an_interrupted_start_leaves_no_server() -> None:
    """The server ignores SIGINT, and the exit of its parent would wait for it for ever."""
    settled = Event()
    manager = SyncManager()
    pids: list[int | None] = []

    def tell() -> None:
        until(lambda: bool(active_children()))
        pids.extend(child.pid for child in active_children())
        settled.set()

    thread = threading.Thread(target=tell)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        manager.start(initializer=children.interrupt_starter, initargs=(os.getpid(), settled))
    thread.join()
    assert pids
    assert active_children() == []
    manager.start()
    assert manager.list([1])[:] == [1]
    manager.shutdown()


# ---- references --------------------------------------------------------------------------------------------


def test_objects_live_as_long_as_their_proxies(manager: SyncManager) -> None:
    items = manager.list()
    items.append(manager.dict())
    assert manager._number_of_objects() == 2
    items[0]["x"] = 1
    assert str(items[0]) == "{'x': 1}"
    items.pop()
    at_once(lambda: manager._number_of_objects() == 1)
    del items
    at_once(lambda: manager._number_of_objects() == 0)
    for _ in range(2000):
        manager.list()
    at_once(lambda: manager._number_of_objects() == 0)
    assert manager._debug_info() == ""


def test_pickled_proxy_outlives_its_sender(manager: SyncManager) -> None:
    inbox, outbox = manager.Queue(), manager.Queue()
    process = start(children.read_from_queue, inbox, outbox)
    items = manager.list(["survived"])
    data = pickle.dumps(items)
    del items
    gc.collect()
    assert manager._number_of_objects() == 3
    inbox.put(pickle.loads(data))
    assert outbox.get(timeout=20) == "survived"
    process.join()
    until(lambda: manager._number_of_objects() == 2)


def test_forked_child_uses_proxies(manager: SyncManager) -> None:
    d = manager.dict()
    for number in range(3):
        start(children.put_item, d, number, number).join()
    assert d.copy() == {0: 0, 1: 1, 2: 2}


def test_spawned_child_uses_proxies(manager: SyncManager) -> None:
    d = manager.dict()
    process = procession_process.SpawnProcess(target=operator.setitem, args=(d, "a", 1))
    process.start()
    process.join()
    assert process.exitcode == 0 and d["a"] == 1


def test_killed_client_leaves_nothing(manager: SyncManager) -> None:
    ours, theirs = Pipe()
    process = start(children.make_and_die, manager, theirs)
    assert ours.recv() == 20
    assert manager._number_of_objects() == 20
    process.kill()
    process.join()
    until(lambda: manager._number_of_objects() == 0)


def test_killed_owner_of_a_lock(manager: SyncManager) -> None:
    lock, event = manager.Lock(), manager.Event()
    process = start(children.take_and_hang, lock, event)
    assert event.wait(20)
    assert not lock.acquire(False)
    process.kill()
    with pytest.raises(procession_core.OwnerDiedError) as caught:
        lock.acquire(timeout=20)
    assert caught.value.pid == process.pid
    assert lock.acquire(timeout=20)
    process.join()


def test_killed_getter_takes_nothing(manager: SyncManager) -> None:
    q, ready = manager.Queue(), manager.Event()
    process = start(children.get_one, q, ready)
    assert ready.wait(20)
    time.sleep(0.05)
    process.kill()
    process.join()
    q.put("kept")
    assert q.get(timeout=20) == "kept"


def test_wrong_options_are_refused_here_and_not_by_the_server() -> None:
    for option, value, error in (
        ("authkey", 3, TypeError),  # bytes(3) would be a key that everybody can guess
        ("unpickler", "date", TypeError),
        ("max_clients", "3", TypeError),
        ("max_clients", 0, ValueError),
        ("max_message", 1.5, TypeError),
        ("max_message", -1, ValueError),
    ):
        with pytest.raises(error, match=f"^{option} (must|should) be"):
            SyncManager(**{option: value})


def test_killed_party_breaks_a_barrier(manager: SyncManager) -> None:
    barrier, ready = manager.Barrier(2), manager.Event()
    process = start(children.wait_at, barrier, ready)
    until(lambda: barrier.n_waiting == 1)
    process.kill()
    process.join()
    until(lambda: barrier.broken)


def test_killed_server_is_noticed() -> None:
    manager = MyManager()
    manager.start()
    d, thing = manager.dict(), manager.Thing()
    for number in range(10):
        d[number] = number
    threading.Timer(0.2, os.kill, (manager._process.pid, signal.SIGKILL)).start()
    with pytest.raises(procession_core.ServerDiedError):
        thing.block(1000)
    with pytest.raises(procession_core.ServerDiedError, match="gone"):
        d["x"] = 1
    manager.shutdown()


def test_a_proxy_whose_server_is_gone() -> None:
    manager = MyManager()
    manager.start()
    d = manager.dict()
    code = "import pickle, sys; pickle.loads(bytes.fromhex(sys.argv[1]))"
    data = pickle.dumps(d).hex()
    manager.shutdown()
    done = subprocess.run([sys.executable, "-c", code, data], capture_output=True, text=True, timeout=60)
    assert "ServerDiedError: the manager's server at" in done.stderr
    assert "start a new manager" in done.stderr


def test_result_of_another_type_is_given_to_the_callable_of_its_typeid() -> None:
    with MyManager() as manager:
        views = manager.Views(a=1, inner={"b": 2})
        items = views.items()
        items.append("more")
        assert list(items) == [("a", 1), ("inner", {"b": 2}), "more"]
        views.get("inner")["b"] = 3
        assert dict(views.get("inner")) == {"b": 3}
        with pytest.raises(RemoteError, match="not iterable"):
            views.get("a")
        with views.batch() as batch:
            found = batch.items()
        assert found.value[0] == ("a", 1)


def test_interrupted_call_is_given_up(manager: SyncManager) -> None:
    class Alarm(Exception):
        pass

    def ring(*_: object) -> None:
        raise Alarm

    q = manager.Queue()
    for _ in range(10):
        q.put(1)
        q.get()
    before = signal.signal(signal.SIGALRM, ring)
    try:
        with pytest.raises(Alarm):
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            q.get()
    finally:
        signal.signal(signal.SIGALRM, before)
    q.put("kept")
    assert q.get(timeout=20) == "kept"
    assert manager._number_of_objects() == 1


@pytest.mark.parametrize("calls_before", [0, 100])
def test_signal_handler_calls_while_a_call_waits(manager: SyncManager, calls_before: int) -> None:
    flag, items, inner = manager.Event(), manager.list(["of the handler"]), []

    def ring(*_: object) -> None:
        inner.append(items[0])
        flag.set()

    for _ in range(calls_before):
        assert items[0] == "of the handler"
    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        assert flag.wait(60) is True
    finally:
        signal.signal(signal.SIGALRM, before)
    assert inner == ["of the handler"] and items[0] == "of the handler"


def test_signal_handler_calls_at_any_moment_of_a_call(manager: SyncManager) -> None:
    items, inner = manager.list(range(1000)), []

    def ring(*_: object) -> None:
        inner.append(items[999])
        signal.setitimer(signal.ITIMER_REAL, 0.0005)

    before = signal.signal(signal.SIGALRM, ring)
    outer, number = 0, 0
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0005)
        while len(inner) < 200:
            number = (number + 1) % 900
            assert items[number] == number
            outer += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert set(inner) == {999} and outer


# ---- beyond ------------------------------------------------------------------------------------------------


def test_batch(manager: SyncManager) -> None:
    items = manager.list()
    with items.batch() as batch:
        batch.append(1)
        batch.append(2)
        last = batch.pop()
        with pytest.raises(RuntimeError):
            last.value  # noqa: B018
    assert last.value == 2 and list(items) == [1]
    with pytest.raises(IndexError):
        with items.batch() as batch:
            batch.pop(5)
            batch.append(7)
    assert list(items) == [1, 7]


def test_update_item_is_atomic(manager: SyncManager) -> None:
    d = manager.dict(n=0)
    processes = [start(children.count_up, d, 100) for _ in range(3)]
    for process in processes:
        process.join()
    assert d["n"] == 300
    assert d.update_item("new", children.increment, 10) == 11
    with pytest.raises(KeyError):
        d.update_item("other", children.increment)


def test_nested_containers_write_through(manager: SyncManager) -> None:
    tree = manager.nested({"a": {"b": [1]}})
    tree["a"]["b"].append(2)
    tree["a"]["c"] = {}
    tree["a"]["c"]["d"] = 3
    assert tree._getvalue() == {"a": {"b": [1, 2], "c": {"d": 3}}}


def test_read_only(manager: SyncManager) -> None:
    d = manager.dict(a=1)
    view = d.read_only()
    assert view["a"] == 1
    with pytest.raises(RemoteError, match="exposed"):
        view["a"] = 2
    with pytest.raises(RemoteError, match="exposed"):
        view.update_item("a", children.increment)


def test_comparison_by_value() -> None:
    with SyncManager(compare_values=True) as manager:
        assert manager.list([1]) == [1] and manager.list([1]) != [2] and manager.dict() == manager.dict()


def test_async_calls(manager: SyncManager) -> None:
    q = manager.Queue()

    async def main() -> list[Any]:
        getters = [asyncio.create_task(q.acall("get")) for _ in range(5)]
        for number in range(5):
            await q.acall("put", number)
        got = sorted(await asyncio.gather(*getters))
        lost = asyncio.create_task(q.acall("get"))
        await asyncio.sleep(0.05)
        lost.cancel()
        await asyncio.gather(lost, return_exceptions=True)
        await q.acall("put", "kept")
        return [*got, await q.acall("get")]

    assert asyncio.run(main()) == [0, 1, 2, 3, 4, "kept"]


def test_limits() -> None:
    with SyncManager(max_message=1000) as manager:
        items = manager.list()
        for number in range(10):  # through the socket and through the lane
            with pytest.raises(RemoteError, match="message of 20.. bytes; max_message allows 1000"):
                items.append(b"x" * 2000)
            items.append(number)
        assert len(items) == 10
        kept = [manager.list() for _ in range(200)]
        del kept  # their names are one long note
        until(lambda: manager._number_of_objects() == 1)


# ---- hostile clients ---------------------------------------------------------------------------------------


def test_server_survives_nonsense(manager: SyncManager) -> None:
    import socket

    for data in (b"", b"GET / HTTP/1.0\r\n\r\n", b"\xff" * 100, b"\x00\x00\x00\x05hello", os.urandom(3000)):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(manager.address)
            try:
                sock.sendall(data)
            except OSError:
                pass
    bad: list[Any] = [
        b"not a pickle",
        pickle.dumps(5),
        pickle.dumps(("nobody", "append", (1,), {})),
        pickle.dumps((None, "_end", (), {})),
        pickle.dumps((None, "create", ("nothing",), {})),
        pickle.dumps((None, "decref", ("forged",), {})),
        pickle.dumps(([], {}, 3, 4)),
        b"#?",
        b"#D" + pickle.dumps(7),
    ]
    for message in bad:
        with Client(manager.address, authkey=procession_process.current_process().authkey) as connection:
            connection.send_bytes(message)
            try:
                kind, _ = connection.recv()
            except (EOFError, OSError):
                continue
            assert kind == "#TRACEBACK"
    assert list(manager.list([1])) == [1]


def test_many_clients(manager: SyncManager) -> None:
    key = procession_process.current_process().authkey
    connections = [Client(manager.address, authkey=key) for _ in range(200)]
    assert list(manager.list([1])) == [1]
    for connection in connections:
        connection.close()


def test_server_ends_with_its_parent() -> None:
    code = (
        "import os, procession_managers as m\n"
        "manager = m.SyncManager(); manager.start(); print(manager._process.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    pid = int(done.stdout)

    def ended() -> bool:
        try:
            return open(f"/proc/{pid}/stat").read().split()[2] == "Z"
        except FileNotFoundError:
            return True

    until(ended)


def test_shared_memory_manager() -> None:
    from procession_shm import SharedMemory

    with procession_managers.SharedMemoryManager() as manager:
        block = manager.SharedMemory(100)
        items = manager.ShareableList([1, "a"])
        assert items[1] == "a"
        name = block.name
        block.close()
        items.shm.close()
    with pytest.raises(FileNotFoundError):
        SharedMemory(name)
