"""The API on threads."""

from __future__ import annotations

import threading
from typing import Any

import procession_dummy as dummy


def double(queue: Any, number: int) -> None:
    queue.put(number * 2)


def fail() -> None:
    raise SystemExit(3)


def test_processes_are_threads() -> None:
    queue = dummy.Manager().Queue()
    processes = [dummy.Process(target=double, args=(queue, number)) for number in range(3)]
    assert all(process.exitcode is None for process in processes)
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert sorted(queue.get() for _ in processes) == [0, 2, 4]
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert processes[0].name.startswith("DummyProcess-") and processes[0].pid == processes[0].ident
    assert dummy.active_children() == [] and dummy.current_process() is threading.current_thread()


def test_exit_code_of_a_failure() -> None:
    process = dummy.Process(target=fail)
    process.start()
    process.join()
    assert process.exitcode == 1


def test_active_children() -> None:
    event = dummy.Event()
    process = dummy.Process(target=event.wait)
    process.start()
    assert dummy.active_children() == [process]
    event.set()
    process.join()
    assert dummy.active_children() == []


def test_pipe() -> None:
    first, second = dummy.Pipe()
    thing = object()
    first.send(thing)
    assert second.poll(None) and second.recv() is thing and not second.poll(0.01)


def test_closing_a_connection_takes_it_from_nobody() -> None:
    ours, theirs = dummy.Pipe()
    process = dummy.Process(target=lambda: theirs.send(theirs.recv()))
    process.start()
    theirs.close()
    ours.send("still open")
    assert ours.recv() == "still open"
    process.join()


def test_listener() -> None:
    with dummy.Listener() as listener:
        client = dummy.Client(listener.address)
        with listener.accept() as server:
            client.send(1)
            assert server.recv() == 1


def test_pool() -> None:
    with dummy.Pool(2) as pool:
        assert pool.map(abs, [-1, 2]) == [1, 2]


def test_queues() -> None:
    queue = dummy.JoinableQueue(1)
    queue.put(1)
    assert queue.get() == 1
    queue.task_done()
    queue.join()
    queue.close()
    queue.join_thread()
    simple = dummy.SimpleQueue()
    simple.put(1)
    assert simple.get() == 1


def test_objects() -> None:
    manager = dummy.Manager()
    assert manager.list([1]) == [1] and manager.dict(a=1) == {"a": 1} and manager.set([1]) == {1}
    value = dummy.Value("i", 3)
    with value.get_lock():
        value.value += 1
    assert value.value == 4 and "4" in repr(value)
    assert list(dummy.Array("i", 3)) == [0, 0, 0] and list(dummy.Array("d", [1.5])) == [1.5]
    assert repr(dummy.Namespace(x=1)) == "Namespace(x=1)"
    assert dummy.cpu_count() >= 1
    dummy.freeze_support()
    manager.shutdown()
    for name in ("Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", "Event"):
        assert getattr(dummy, name)()
    assert dummy.Barrier(1).wait() == 0


def test_names() -> None:
    assert list(dummy.__all__) == sorted(dummy.__all__)
    assert all(hasattr(dummy, name) for name in dummy.__all__)
