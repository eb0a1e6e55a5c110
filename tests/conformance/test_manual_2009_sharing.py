"""The manual of Python 2.6: Synchronization primitives, Shared ctypes objects, Managers, Proxy objects, Namespace."""

from __future__ import annotations

import ctypes
import gc
import os
import pickle
import queue as stdlib_queue
import signal
import subprocess
import sys
import threading
import time

import pytest

import procession as mp
from procession import sharedctypes
from procession.managers import BaseManager, BaseProxy, RemoteError, SyncManager


def release_it(lock):
    lock.release()


def change(number, numbers):
    number.value = 3.1415927
    for index in range(len(numbers)):
        numbers[index] = -numbers[index]


def change_managed(mapping, items):
    mapping[1] = "1"
    mapping["2"] = 2
    mapping[0.25] = None
    items.reverse()


def add_often(value):
    for _ in range(1000):
        with value.get_lock():
            value.value += 1


class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_double), ("y", ctypes.c_double)]


def modify(n, x, s, points):
    n.value **= 2
    x.value **= 2
    s.value = s.value.upper()
    for point in points:
        point.x **= 2
        point.y **= 2


class Maths:
    def add(self, x, y):
        return x + y

    def mul(self, x, y):
        return x * y

    def _hidden(self):
        return "hidden"

    def fail(self):
        raise LookupError("raised by the method")

    def unpicklable(self):
        return threading.Lock()

    def numbers(self):
        return [1, 2, 3]


class MathsManager(BaseManager):
    pass


MathsManager.register("Maths", Maths)
MathsManager.register("Few", Maths, exposed=("add",))
MathsManager.register("Lists", Maths, method_to_typeid={"numbers": "list"})
MathsManager.register("Unpicklable", threading.Lock, exposed=("acquire",))
MathsManager.register("list", list, exposed=("__len__", "append"))
MathsManager.register("no_method", Maths, create_method=False)


def use_in_child(process_target, *args):
    process = mp.Process(target=process_target, args=args)
    process.start()
    process.join()
    assert process.exitcode == 0


@pytest.fixture(scope="module")
def manager():
    with mp.Manager() as manager:
        yield manager


@pytest.fixture(scope="module")
def maths():
    with MathsManager() as manager:
        yield manager


# ---- Synchronization primitives -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Semaphore", "BoundedSemaphore"])
def test_synchronization_acquire_takes_block_and_timeout(kind):
    lock = getattr(mp, kind)()
    assert lock.acquire(block=True, timeout=None)
    outcome = []
    thread = threading.Thread(
        target=lambda: outcome.extend(
            (lock.acquire(True, 0.01), lock.acquire(False, 30), lock.acquire(block=False))
        )
    )
    thread.start()
    thread.join(10)
    assert outcome == [False, False, False]
    lock.release()


def test_synchronization_lock_is_not_recursive():
    lock = mp.Lock()
    assert lock.acquire() and not lock.acquire(False)


def test_synchronization_rlock_is_recursive():
    lock = mp.RLock()
    assert lock.acquire() and lock.acquire(False)
    lock.release()
    lock.release()
    with pytest.raises(AssertionError):
        lock.release()


def test_synchronization_lock_of_another_process_can_be_released():
    lock = mp.Lock()
    lock.acquire()
    use_in_child(release_it, lock)
    assert lock.acquire(True, 30)


def test_synchronization_semaphores():
    bounded, unbounded = mp.BoundedSemaphore(2), mp.Semaphore(2)
    unbounded.release()
    assert [unbounded.acquire(False) for _ in range(4)] == [True, True, True, False]
    with pytest.raises(ValueError):
        bounded.release()


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_synchronization_condition(kind):
    condition = mp.Condition(getattr(mp, kind)())
    with condition:
        threading.Timer(0.05, notify, (condition,)).start()
        assert condition.wait(30)
        assert not condition.wait(0.01)


def notify(condition):
    with condition:
        condition.notify()


def test_synchronization_event():
    event = mp.Event()
    assert not event.is_set() and not event.wait(0.01)
    use_in_child(event.set)
    assert event.is_set() and event.wait()
    event.clear()
    assert not event.is_set()


def test_synchronization_wait_of_the_event_returns_the_flag():
    assert mp.Event().wait(0) is False


@pytest.mark.parametrize(
    "blocking",
    [
        "mp.Lock(); x.acquire",
        "mp.RLock(); x.acquire",
        "mp.Semaphore(); x.acquire",
        "mp.BoundedSemaphore(); x.acquire",
    ],
)
def test_synchronization_ctrl_c_interrupts(blocking):
    text = f"""
import procession as mp, threading, os, signal, time
x = {blocking.partition(";")[0]}
thread = threading.Thread(target=x.acquire)
thread.start(); thread.join()
try:
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    x.acquire(True, 30)
except KeyboardInterrupt:
    print('interrupted')
"""
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60)
    assert done.stdout == "interrupted\n", done.stderr
    assert time.monotonic() - begun < 20


def test_synchronization_ctrl_c_interrupts_a_condition():
    condition = mp.Condition()
    with condition, pytest.raises(KeyboardInterrupt):
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        condition.wait(30)


# ---- Shared ctypes objects ----------------------------------------------------------------------------------------


def test_introduction_sharing_state_in_shared_memory():
    number, numbers = mp.Value("d", 0.0), mp.Array("i", range(10))
    use_in_child(change, number, numbers)
    assert number.value == 3.1415927 and numbers[:] == [0, -1, -2, -3, -4, -5, -6, -7, -8, -9]


def test_ctypes_value_has_a_lock_by_default():
    value = mp.Value("i", 0)
    processes = [mp.Process(target=add_often, args=(value,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert value.value == 2000


@pytest.mark.parametrize("make", [mp.Value, mp.Array, sharedctypes.Value, sharedctypes.Array])
def test_ctypes_lock_is_a_keyword(make):
    lock = mp.Lock()
    assert make("i", 3, lock=lock).get_lock() is lock
    assert hasattr(make("i", 3), "get_lock") and hasattr(make("i", 3, lock=True), "get_obj")
    assert not hasattr(make("i", 3, lock=False), "get_lock")
    with pytest.raises(TypeError):
        make("i", 3, lock)


def test_ctypes_array_length_or_initializer():
    assert mp.Array("i", 3)[:] == [0, 0, 0] and mp.Array(ctypes.c_short, (9, 2))[:] == [9, 2]


def test_ctypes_array_of_characters():
    text = mp.Array("c", b"hello world")
    assert text.value == text.raw == b"hello world"
    text.value = b"bye"
    assert text.value == b"bye" and len(text.raw) == 11


def test_ctypes_raw_objects():
    assert sharedctypes.RawValue("d", 2.4).value == 2.4
    assert sharedctypes.RawValue(Point, 4, 6).y == 6
    assert list(sharedctypes.RawArray("h", 7)) == [0] * 7
    assert list(sharedctypes.RawArray(ctypes.c_int, (9, 2, 8))) == [9, 2, 8]


def test_ctypes_copy_and_synchronized():
    point = Point(1.0, 2.0)
    copied = sharedctypes.copy(point)
    copied.x = 5.0
    assert point.x == 1.0 and copied.y == 2.0
    wrapped = sharedctypes.synchronized(copied)
    assert wrapped.get_obj() is copied and wrapped.x == 5.0
    with wrapped.get_lock(), wrapped.get_lock():
        wrapped.y = 3.0
    assert copied.y == 3.0


def test_ctypes_example():
    lock = mp.Lock()
    n, x = mp.Value("i", 7), mp.Value(ctypes.c_double, 1.0 / 3.0, lock=False)
    s = mp.Array("c", b"hello world", lock=lock)
    points = mp.Array(Point, [(1.875, -6.25), (-5.75, 2.0), (2.375, 9.5)], lock=lock)
    use_in_child(modify, n, x, s, points)
    assert (n.value, x.value, s.value) == (49, (1.0 / 3.0) ** 2, b"HELLO WORLD")
    assert [(p.x, p.y) for p in points] == [(3.515625, 39.0625), (33.0625, 4.0), (5.640625, 90.25)]


# ---- Managers -----------------------------------------------------------------------------------------------------


def test_introduction_sharing_state_in_a_server_process(manager):
    mapping, items = manager.dict(), manager.list(range(10))
    use_in_child(change_managed, mapping, items)
    assert mapping.copy() == {0.25: None, 1: "1", "2": 2} and items[:] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]


def test_managers_manager_is_a_started_sync_manager(manager):
    assert isinstance(manager, SyncManager) and manager.address is not None


def test_managers_are_shut_down_when_collected():
    manager = mp.Manager()
    before = set(mp.active_children())
    assert before
    processes = len(before)
    del manager
    before.clear()
    for _ in range(1000):
        gc.collect()
        if len(mp.active_children()) < processes:
            return
        time.sleep(0.01)
    pytest.fail("the server goes on")


@pytest.mark.linux_only
def test_managers_are_shut_down_when_their_parent_exits():
    text = "import procession as mp; m = mp.Manager(); d = m.dict(); print(mp.active_children()[0].pid)"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60)
    pid = int(done.stdout)
    for _ in range(1000):
        if not os.path.exists(f"/proc/{pid}"):
            return
        time.sleep(0.01)
    pytest.fail(f"the server goes on: {done.stderr}")


def test_managers_authkey_is_that_of_the_process_by_default():
    server = QueueManager(address=("localhost", 0)).get_server()
    threading.Thread(target=serve, args=(server,), daemon=True).start()
    client = QueueClient(address=server.address, authkey=mp.current_process().authkey)
    client.connect()
    with pytest.raises(mp.AuthenticationError):
        QueueClient(address=server.address, authkey=b"wrong").connect()


def test_managers_shutdown_many_times():
    manager = MathsManager()
    manager.start()
    manager.shutdown()
    manager.shutdown()


def test_managers_shutdown_only_after_start():
    with pytest.raises(AttributeError):
        MathsManager().shutdown()


def test_managers_address_is_read_only(maths):
    with pytest.raises(AttributeError):
        maths.address = "other"


class QueueManager(BaseManager):
    pass


class QueueClient(BaseManager):
    pass


_queue = stdlib_queue.Queue()
QueueManager.register("get_queue", callable=lambda: _queue)
QueueClient.register("get_queue")


def test_managers_remote_manager():
    server = QueueManager(address=("localhost", 0), authkey=b"abracadabra").get_server()
    threading.Thread(target=serve, args=(server,), daemon=True).start()
    client = QueueClient(address=server.address, authkey=b"abracadabra")
    client.connect()
    client.get_queue().put("hello")
    other = QueueClient.from_address(server.address, b"abracadabra")
    assert other.get_queue().get() == "hello"
    with pytest.raises(mp.AuthenticationError):
        QueueClient(address=server.address, authkey=b"wrong").connect()


def serve(server):
    try:
        server.serve_forever()
    except SystemExit:
        pass


def test_managers_register_exposed(maths):
    few = maths.Few()
    assert few.add(1, 2) == 3
    with pytest.raises(AttributeError):
        few.mul(1, 2)
    with pytest.raises(RemoteError):
        few._callmethod("mul", (1, 2))


def test_managers_register_public_methods_by_default(maths):
    proxy = maths.Maths()
    assert (proxy.add(4, 3), proxy.mul(7, 8)) == (7, 56)
    with pytest.raises(AttributeError):
        proxy._hidden()
    with pytest.raises(RemoteError):
        proxy._callmethod("_hidden")


def test_managers_register_method_to_typeid(maths):
    proxy = maths.Lists().numbers()
    assert isinstance(proxy, BaseProxy) and proxy._callmethod("__len__") == 3
    assert maths.Maths().numbers() == [1, 2, 3]


def test_managers_register_create_method(maths):
    assert not hasattr(maths, "no_method")


@pytest.mark.parametrize(
    ("typeid", "arguments", "use"),
    [
        ("BoundedSemaphore", (2,), lambda p: p.acquire() and p.release() is None),
        ("Condition", (), lambda p: p.acquire() and p.notify() is None and p.release() is None),
        ("Event", (), lambda p: p.set() is None and p.is_set()),
        ("Lock", (), lambda p: p.acquire() and not p.acquire(False) and p.release() is None),
        ("Queue", (1,), lambda p: p.put(7) is None and p.full() and p.get() == 7),
        ("RLock", (), lambda p: p.acquire() and p.acquire() and p.release() is None),
        ("Semaphore", (2,), lambda p: p.acquire() and p.acquire() and not p.acquire(False)),
        ("Array", ("i", [1, 2]), lambda p: p[1] == 2 and len(p) == 2),
        ("dict", ({1: 2},), lambda p: p[1] == 2),
        ("dict", ([(1, 2)],), lambda p: p[1] == 2),
        ("list", ([1, 2],), lambda p: p[:] == [1, 2]),
    ],
)
def test_managers_sync_manager_makes(manager, typeid, arguments, use):
    assert use(getattr(manager, typeid)(*arguments))


def test_managers_value_has_a_writable_value(manager):
    value = manager.Value("i", 1)
    value.value = 2
    assert value.value == 2


def test_managers_condition_on_a_managed_lock(manager):
    lock = manager.RLock()
    condition = manager.Condition(lock)
    with condition:
        assert not condition.wait(0.01)


def test_namespace_objects(manager):
    namespace = manager.Namespace()
    namespace.x, namespace.y = 10, "hello"
    namespace._z = 12.3
    assert str(namespace) == "Namespace(x=10, y='hello')" and namespace._z == 12.3


# ---- Proxy objects ------------------------------------------------------------------------------------------------


def test_proxies_str_and_repr(manager):
    proxy = manager.list([i * i for i in range(10)])
    assert str(proxy) == "[0, 1, 4, 9, 16, 25, 36, 49, 64, 81]"
    assert repr(proxy).startswith("<ListProxy object, typeid 'list' at 0x")
    assert proxy[4] == 16 and proxy[2:5] == [4, 9, 16]


def test_proxies_are_picklable(manager):
    proxy = manager.list([1])
    copied = pickle.loads(pickle.dumps(proxy))
    copied.append(2)
    assert proxy[:] == [1, 2]


def test_proxies_one_shared_object_can_contain_another(manager):
    outer, inner = manager.list(), manager.list()
    outer.append(inner)
    inner.append("hello")
    assert outer[0][:] == ["hello"]


def test_proxies_are_not_compared_by_value(manager):
    assert not (manager.list([1, 2, 3]) == [1, 2, 3])


def test_proxies_callmethod(manager):
    proxy = manager.list(range(10))
    assert proxy._callmethod("__len__") == 10
    assert proxy._callmethod("__getitem__", (slice(2, 7),)) == [2, 3, 4, 5, 6]
    with pytest.raises(IndexError):
        proxy._callmethod("__getitem__", (20,))


def test_proxies_callmethod_exceptions(maths):
    proxy = maths.Maths()
    with pytest.raises(LookupError, match="raised by the method"):
        proxy.fail()
    with pytest.raises(RemoteError):
        proxy.unpicklable()


def test_proxies_getvalue(manager, maths):
    assert manager.list([1, 2])._getvalue() == [1, 2]
    with pytest.raises(RemoteError):
        maths.Unpicklable()._getvalue()


def test_proxies_cleanup(manager):
    gc.collect()
    before = manager._number_of_objects()
    proxy = manager.list()
    assert manager._number_of_objects() == before + 1
    del proxy
    for _ in range(1000):
        gc.collect()
        if manager._number_of_objects() == before:
            return
        time.sleep(0.01)
    pytest.fail("the referent is still there")
