"""What every queue does, in one process, in both variants."""

from __future__ import annotations

import copy
import pickle
import threading
import time
from typing import Any

import pytest

import procession_core
from procession_queues import Empty, Full, JoinableQueue, Queue, ShutDown, SimpleQueue
from tests.queues.children import Unpicklable


def test_all_is_what_is_there() -> None:
    import procession_queues

    names = {n for n in vars(procession_queues) if not n.startswith("_")}
    assert names - {"annotations"} == set(procession_queues.__all__)
    assert list(procession_queues.__all__) == sorted(procession_queues.__all__)


def test_names_and_aliases() -> None:
    import queue as standard

    assert Empty is standard.Empty and Full is standard.Full
    assert Queue.__module__ == JoinableQueue.__module__ == SimpleQueue.__module__ == "procession_queues"
    assert issubclass(JoinableQueue, Queue) and not issubclass(SimpleQueue, Queue)
    assert Queue[int].__origin__ is Queue and SimpleQueue[str].__args__ == (str,)


ITEMS = [
    0, 1, -1, 2**62, -(2**63), 2**63 - 1, 2**63, -(2**63) - 1, 2**200,
    True, False, None, 0.0, -0.0, 1.5, float("inf"),
    "", "a", "ä€𝄞", "\udc80", "x" * 70000, b"", b"a", b"\x80pickle?", b"\x01",
    bytes(range(256)) * 300, b"z" * 3_000_000,
    (), [], {}, {"a": [1, (2, "3")]}, {1, 2}, 1j, range(5), Empty, memoryview,
    bytearray(b"q" * 200_000),
]  # fmt: skip


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: repr(item)[:20].encode("ascii", "replace").decode())
def test_item_comes_back_equal_and_of_its_type(item: Any) -> None:
    queue = Queue()
    queue.put(item)
    got = queue.get(timeout=20)
    assert type(got) is type(item) and got == item and repr(got) == repr(item)


def test_subclasses_of_fast_types_stay_themselves(queue: Any) -> None:
    flag = procession_core.PeerDiedError
    for item in (flag, pytest.ExitCode.OK):
        queue.put(item)
        assert queue.get() is item


def test_order_and_sizes() -> None:
    queue = Queue()
    assert queue.empty() and queue.qsize() == 0 and not queue.full()
    for i in range(3000):
        queue.put(i if i % 3 else b"x" * (i % 700))
    assert queue.qsize() == 3000 and not queue.empty()
    for i in range(3000):
        assert queue.get() == (i if i % 3 else b"x" * (i % 700))
    assert queue.empty() and queue.qsize() == 0


def test_maxsize() -> None:
    queue = Queue(2)
    queue.put(1)
    assert not queue.full()
    queue.put(2, True, None)
    assert queue.full() and queue.maxsize == 2
    for call in (
        lambda: queue.put(3, False),
        lambda: queue.put_nowait(3),
        lambda: queue.put(3, True, -1),
        lambda: queue.put(3, timeout=0.02),
    ):
        with pytest.raises(Full):
            call()
    assert queue.get() == 1
    queue.put(3)
    assert [queue.get(), queue.get()] == [2, 3]


def test_empty_is_raised(queue: Any) -> None:
    for call in (
        queue.get_nowait,
        queue.get_no_wait,
        lambda: queue.get(False),
        lambda: queue.get(True, 0),
        lambda: queue.get(timeout=-3),
    ):
        with pytest.raises(Empty):
            call()
    begun = time.monotonic()
    with pytest.raises(Empty):
        queue.get(timeout=0.15)
    assert 0.14 <= time.monotonic() - begun < 5


def test_wrong_arguments() -> None:
    queue = Queue()
    with pytest.raises(TypeError):
        queue.put()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        queue.get(wrong=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        queue.get(True, "soon")  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        queue.get(True, float("nan"))
    with pytest.raises(ValueError):
        queue.get_many(0)
    with pytest.raises(ValueError):
        Queue(on_peer_death="shrug")
    with pytest.raises(TypeError):
        Queue("many")  # type: ignore[arg-type]
    assert queue.empty()


def test_get_waits_for_a_thread(queue: Any) -> None:
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(queue.get()))
    thread.start()
    queue.put("item")
    thread.join(20)
    assert got == ["item"]


def test_put_waits_for_room() -> None:
    queue = Queue(1)
    queue.put(0)
    thread = threading.Thread(target=lambda: [queue.put(i) for i in range(1, 200)])
    thread.start()
    assert [queue.get(timeout=20) for _ in range(200)] == list(range(200))
    thread.join(20)


def test_unbounded_put_never_waits() -> None:
    queue = Queue()
    for i in range(500):
        queue.put((i, b"x" * 1000))
    assert queue.qsize() == 500
    assert [queue.get(timeout=20)[0] for _ in range(500)] == list(range(500))


def test_many() -> None:
    queue = Queue()
    assert queue.put_many([]) == 0
    assert queue.put_many(range(1000)) == 1000
    assert queue.get_many(3) == [0, 1, 2]
    rest: list[int] = []
    while len(rest) < 997:
        rest += queue.get_many(400, timeout=20)
    assert rest == list(range(3, 1000))
    with pytest.raises(Empty):
        queue.get_many(timeout=0.01)
    with pytest.raises(Empty):
        queue.get_many(5, False)


def test_put_many_says_how_far_it_came() -> None:
    queue = Queue(5)
    with pytest.raises(Full) as caught:
        queue.put_many(range(9), timeout=0.02)
    assert caught.value.accepted == 5  # type: ignore[attr-defined]

    def items() -> Any:
        yield 1
        yield 2
        raise KeyError("generator")

    queue = Queue()
    with pytest.raises(KeyError) as failed:
        queue.put_many(items())
    assert failed.value.accepted == 2  # type: ignore[attr-defined]
    assert queue.get_many(2) == [1, 2]
    with pytest.raises(AttributeError) as refused:
        queue.put_many([3, Unpicklable(), 4])
    assert refused.value.accepted == 1  # type: ignore[attr-defined]
    assert queue.get(timeout=20) == 3


def test_pickling_happens_in_put(queue: Any) -> None:
    item = [1, 2]
    queue.put(item)
    item.append(3)
    assert queue.get() == [1, 2]
    with pytest.raises((TypeError, AttributeError)) as caught:
        queue.put({"jobs": [1, {"lock": threading.Lock()}]})
    assert "jobs" in "".join(getattr(caught.value, "__notes__", []))
    assert queue.empty()


def test_hook_gets_what_cannot_be_pickled() -> None:
    seen: list[Any] = []

    class Safe(Queue):
        @staticmethod
        def _on_queue_feeder_error(error: BaseException, obj: object) -> None:
            seen.append((type(error), obj))

    queue, culprit = Safe(1), Unpicklable()
    queue.put(culprit)
    queue.put("next")
    assert queue.get(timeout=20) == "next"
    assert seen == [(AttributeError, culprit)]
    assert queue.put_many([1]) == 1


def test_unpickling_error_is_raised_and_costs_only_its_item() -> None:
    queue = Queue()
    queue.put(_Explosive())
    queue.put(2)
    with pytest.raises(ZeroDivisionError):
        queue.get(timeout=20)
    assert queue.get(timeout=20) == 2 and queue.qsize() == 0


class _Explosive:
    def __reduce__(self) -> Any:
        return _explode, ()


def _explode() -> None:
    1 / 0  # noqa: B018


def test_closed_queue() -> None:
    for cls in (Queue, JoinableQueue):
        unused = cls()
        unused.close()
        unused.join_thread()
        assert unused.empty()
        used = cls()
        used.put("foo")
        used.close()
        used.close()
        used.join_thread()
        with pytest.raises(OSError, match="is closed"):
            used.empty()
        for call in (
            lambda q=used: q.put(1),
            lambda q=used: q.get(),
            lambda q=used: q.get_nowait(),
            lambda q=used: q.put_many([1]),
        ):
            with pytest.raises(ValueError, match="is closed"):
                call()


def test_join_thread_before_close() -> None:
    queue = Queue()
    with pytest.raises(AssertionError, match="not closed"):
        queue.join_thread()
    queue.cancel_join_thread()
    queue.close()
    queue.join_thread()


def test_closed_simple_queue() -> None:
    queue = SimpleQueue()
    queue.close()
    queue.close()
    assert queue._reader.closed and queue._writer.closed
    for call in (queue.empty, queue.get, lambda: queue.put(1)):
        with pytest.raises(OSError, match="is closed"):
            call()


def test_task_done_and_join() -> None:
    queue = JoinableQueue()
    assert queue.join() is True
    with pytest.raises(ValueError, match=r"task_done\(\) called too many times"):
        queue.task_done()
    queue.put_many([1, 2])
    assert queue.join(0.02) is False
    queue.task_done()
    assert queue.join(0) is False
    queue.task_done()
    assert queue.join(5) is True
    with pytest.raises(ValueError):
        queue.task_done()


def test_join_is_woken() -> None:
    queue = JoinableQueue()
    queue.put(1)
    thread = threading.Thread(target=queue.join)
    thread.start()
    queue.get()
    queue.task_done()
    thread.join(20)
    assert not thread.is_alive()


def test_shutdown_lets_the_rest_be_read(queue: Any) -> None:
    queue.put(1)
    queue.put(2)
    queue.shutdown()
    with pytest.raises(ShutDown):
        queue.put(3)
    assert list(queue) == [1, 2]
    with pytest.raises(ShutDown):
        queue.get()
    with pytest.raises(ShutDown):
        queue.get_nowait()
    queue.shutdown()


def test_shutdown_at_once() -> None:
    queue = JoinableQueue()
    queue.put_many([1, [2], "three"])
    queue.shutdown(immediate=True)
    with pytest.raises(ShutDown):
        queue.get()
    assert queue.join(5) is True


def test_shutdown_wakes_all_who_wait() -> None:
    empty, full = Queue(), Queue(1)
    full.put(0)
    ended: list[str] = []

    def expect(call: Any) -> None:
        try:
            call()
        except ShutDown:
            ended.append("yes")

    calls = [empty.get, empty.get, lambda: full.put(1), lambda: full.put(2)]
    threads = [threading.Thread(target=expect, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    empty.shutdown()
    full.shutdown()
    for thread in threads:
        thread.join(20)
    assert ended == ["yes"] * 4


def test_iteration_ends_at_shutdown(queue: Any) -> None:
    queue.put("first")
    threading.Timer(0.05, lambda: (queue.put("last"), queue.shutdown())).start()
    assert list(queue) == ["first", "last"]


def test_ends() -> None:
    queue = Queue()
    reader, writer = queue._reader, queue._writer
    assert isinstance(reader.fileno(), int) and isinstance(writer.fileno(), int)
    assert not reader.poll() and not reader.poll(0.01)
    queue.put({"a": 1})
    assert reader.poll() and reader.poll(5)
    assert pickle.loads(reader.recv_bytes()) == {"a": 1}
    writer.close()
    reader.close()
    assert reader.closed and writer.closed


def test_leaves_nothing_behind(leak_check: Any) -> None:
    def use() -> None:
        queue = JoinableQueue()
        queue.put_many(range(100))
        queue.get_many(50)
        queue.fileno()
        simple = SimpleQueue()
        simple.put(1)

    use()
    leak_check.rebase()
    for _ in range(20):
        use()


def test_copy_and_repr(queue: Any) -> None:
    assert type(queue).__name__ in repr(queue)
    with pytest.raises(RuntimeError) if _is_portable() else _no_error():
        assert copy.copy(queue) is not queue


def _is_portable() -> bool:
    return procession_core.native_requested() is False or __import__("procession_native").core is None


def _no_error() -> Any:
    import contextlib

    return contextlib.nullcontext()
