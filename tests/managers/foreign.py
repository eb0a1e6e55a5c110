"""Runs under a plain CPython with its own multiprocessing: a server, or a client, for the tests of the protocol."""

from __future__ import annotations

import sys
import threading
from multiprocessing import Process, current_process
from multiprocessing.managers import RemoteError, SyncManager

KEY = b"shared secret"


class Foreign(SyncManager):
    pass


class Thing:
    def greet(self, name):
        return "hello " + name

    def fail(self):
        raise ValueError("as asked")


def serve():
    Foreign.register("Thing", Thing)
    manager = Foreign(address=("127.0.0.1", 0), authkey=KEY)
    manager.start()
    print(manager.address[1], flush=True)
    sys.stdin.readline()
    print(manager._number_of_objects(), flush=True)
    manager.shutdown()


def client(port):
    # Proxies inside of values know no other key there.
    current_process().authkey = KEY
    Foreign.register("Thing")
    manager = Foreign(address=("127.0.0.1", port), authkey=KEY)
    manager.connect()
    d = manager.dict(a=1)
    d["b"] = [1, 2]
    assert d.copy() == {"a": 1, "b": [1, 2]}, d.copy()
    items = manager.list([3])
    d["items"] = items
    d["items"].append(4)
    assert str(items) == "[3, 4]", str(items)
    assert sorted(d.keys()) == ["a", "b", "items"]
    assert sorted(list(iter(manager.dict(x=1)))) == ["x"]
    queue = manager.Queue()
    queue.put("x")
    assert queue.get(timeout=5) == "x"
    lock = manager.RLock()
    with lock:
        assert lock.acquire()
        lock.release()
    event = manager.Event()
    event.set()
    assert event.wait(1) and event.is_set()
    space = manager.Namespace(x=1)
    space.y = 2
    assert (space.x, space.y) == (1, 2)
    value = manager.Value("i", 5)
    value.value += 1
    assert value.value == 6
    assert list(manager.Array("i", [1, 2])) == [1, 2]
    thing = manager.Thing()
    assert thing.greet("you") == "hello you"
    try:
        thing.fail()
    except ValueError as error:
        assert error.args == ("as asked",)
    else:
        raise SystemExit("no ValueError")
    try:
        d._callmethod("__class__")
    except RemoteError as error:
        assert "exposed" in str(error)
    else:
        raise SystemExit("no RemoteError")
    try:
        d["missing"]
    except KeyError:
        pass
    print("done", flush=True)


def hang(address):
    """Take references, and a lock, and wait for death."""
    current_process().authkey = KEY
    manager = Foreign(address=address, authkey=KEY)
    manager.connect()
    used, unused, lock = manager.list(), [manager.dict() for _ in range(5)], manager.Lock()
    # A thread's connection ends here, its process does not.
    thread = threading.Thread(target=used.append, args=(1,))
    thread.start()
    thread.join()
    child = Process(target=used.append, args=(2,))
    child.start()
    child.join()
    lock.acquire()
    print(len(used), len(unused), flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    elif sys.argv[1] == "hang":
        hang(sys.argv[2])
    else:
        client(int(sys.argv[2]))
