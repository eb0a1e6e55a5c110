"""What only the arena gives: no thread, exact sizes, news of deaths, memory that comes back."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from procession_core import PeerDiedError
from procession_queues import Empty, Full, JoinableQueue, Queue, SimpleQueue
from tests.queues.children import PATIENCE, finish, hold_a_while, put_and_vanish, start, stop_self

pytestmark = pytest.mark.native_only


def core() -> Any:
    import procession_native

    return procession_native.core


def used() -> int:
    gc.collect()
    core().sweep()
    return int(core().memory()["used"])


def test_no_thread_and_no_descriptor_until_asked() -> None:
    def now() -> tuple[set[str], int]:
        return set(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))

    def new() -> tuple[int, int]:
        # Those of other tests may still be about to end.
        threads, descriptors = now()
        return len(threads - before[0]), max(0, descriptors - before[1])

    Queue()
    gc.collect()  # queues of other tests that are polled
    before = now()
    queue = Queue()
    queue.put(b"x" * 1_000_000)
    assert new() == (0, 0)
    queue.fileno()
    assert new()[0] == 1
    del queue
    gc.collect()
    # The kernel lists a thread for a moment after its end.
    deadline = time.monotonic() + 30
    while new() != (0, 0):
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_maxbytes() -> None:
    queue = Queue(maxbytes=1000)
    queue.put(b"x" * 5000)  # heavier than the limit: goes in alone
    with pytest.raises(Full):
        queue.put_nowait(1)
    assert queue.full() and queue.maxbytes == 1000
    queue.get()
    for _ in range(10):
        queue.put(b"y" * 100)
    with pytest.raises(Full):
        queue.put(b"y", timeout=0.01)
    assert queue.totals()["bytes"] == 1000
    queue.get()
    queue.put(b"y" * 100)
    big = Queue(maxbytes=200_000)
    big.put(b"z" * 150_000)
    with pytest.raises(Full):
        big.put_nowait(b"z" * 150_000)


def test_peek() -> None:
    queue = Queue()
    with pytest.raises(Empty):
        queue.peek()
    inner = Queue()
    inner.put("inside")
    for item in ([1], "a", b"x" * 100_000):
        queue.put(item)
        assert queue.peek() == item and queue.peek() == item and queue.qsize() == 1
        assert queue.get() == item
    queue.put(inner)
    assert queue.peek().peek() == "inside"
    assert queue.get().get() == "inside"


def test_message_keeps_what_it_names() -> None:
    carrier, inner = Queue(), Queue()
    inner.put(5)
    carrier.put([inner] * 3)
    del inner
    gc.collect()
    assert carrier.get()[2].get() == 5
    many = [Queue() for _ in range(40)]
    for i, queue in enumerate(many):
        queue.put(i)
    carrier.put(many)
    del many, queue
    gc.collect()
    assert [queue.get() for queue in carrier.get()] == list(range(40))


def test_memory_comes_back() -> None:
    def use() -> None:
        queue = Queue()
        queue.put_many([i, "x" * 500, b"y" * 40_000, [i] * 300, Queue()][i % 5] for i in range(1000))
        for _ in range(700):
            queue.get()
        assert queue.qsize() == 300

    use()
    gc.collect()
    before = used()
    for _ in range(3):
        use()
    gc.collect()
    assert used() <= before
    assert core().check() is None


def test_put_at_the_limit_loses_nothing() -> None:
    queue = Queue()
    queue.put("first")
    limit = core().memory()["limit"]
    core().set_limit(core().memory()["file_size"] + (1 << 20))
    put = 0
    try:
        with pytest.raises(MemoryError):
            while True:
                queue.put(os.urandom(100_000))
                put += 1
    finally:
        core().set_limit(limit)
    queue.put("last")
    assert queue.qsize() == put + 2 and queue.get() == "first"
    for _ in range(put):
        assert len(queue.get()) == 100_000
    assert queue.get() == "last"


def test_peer_died_when_alone() -> None:
    queue = Queue(on_peer_death="raise")
    queue.put(1)
    assert queue.get() == 1
    with pytest.raises(PeerDiedError):
        queue.get()
    with pytest.raises(PeerDiedError):
        Queue().get(peers=True)
    with pytest.raises(Empty):
        queue.get_nowait()


def test_peer_died_after_the_last_message(make: Any, start_method: str) -> None:
    queue = make.Queue()
    child = start(start_method, put_and_vanish, queue, [1, 2])
    assert queue.get(timeout=PATIENCE, peers=True) == 1
    assert queue.get(timeout=PATIENCE, peers=True) == 2
    with pytest.raises(PeerDiedError):
        queue.get(timeout=PATIENCE, peers=True)
    finish(child)


def test_peer_killed(make: Any, start_method: str) -> None:
    queue = make.Queue()
    child = start(start_method, stop_self, queue)
    with pytest.raises(PeerDiedError):
        queue.get(timeout=PATIENCE, peers=True)
    finish(child, code=-signal.SIGKILL)


def test_peer_lives(make: Any, start_method: str) -> None:
    queue, ready, go_on = make.Queue(), make.Queue(), make.Queue()
    child = start(start_method, hold_a_while, queue, ready, go_on)
    ready.get(timeout=PATIENCE)
    with pytest.raises(Empty):
        queue.get(timeout=0.3, peers=True)
    go_on.put(None)
    finish(child)


def test_queue_in_an_unread_message_has_a_peer() -> None:
    queue, carrier = Queue(), Queue()
    carrier.put(queue)
    with pytest.raises(Empty):
        queue.get(timeout=0.1, peers=True)
    carrier.get()
    gc.collect()
    with pytest.raises(PeerDiedError):
        queue.get(timeout=5, peers=True)


def test_signal_handlers_run_and_may_interrupt() -> None:
    queue = Queue()
    ran: list[int] = []

    def note(*_: object) -> None:
        ran.append(1)
        if len(ran) == 2:
            raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, note)
    try:
        with pytest.raises(KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
            queue.get(timeout=PATIENCE)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    queue.put("later")
    assert queue.get() == "later"


def test_empty_get_burns_no_cpu() -> None:
    queue = Queue()
    before = time.thread_time()  # not that of threads that other tests have left
    with pytest.raises(Empty):
        queue.get(timeout=1.0)
    assert time.thread_time() - before < 0.05


def test_several_processes_poll_one_queue(make: Any, start_method: str) -> None:
    queue, results = make.Queue(), make.Queue()
    children = [start(start_method, _poll_and_take, queue, results) for _ in range(3)]
    for _ in children:
        assert results.get(timeout=PATIENCE) == "polling"
    for i in range(3):
        queue.put(i)
    assert sorted(results.get(timeout=PATIENCE) for _ in children) == [0, 1, 2]
    finish(*children)


def _poll_and_take(queue: Any, results: Any) -> None:
    import select

    poller = select.poll()
    poller.register(queue.fileno(), select.POLLIN)
    results.put("polling")
    while True:
        assert poller.poll(PATIENCE * 1000)
        try:
            results.put(queue.get_nowait())
            return
        except Empty:
            continue


def test_killed_poller_disturbs_nobody(make: Any, start_method: str) -> None:
    queue = make.Queue()
    for _ in range(3):
        child = start(start_method, _poll_and_die, queue)
        finish(child, code=-signal.SIGKILL)
    import select

    poller = select.poll()
    poller.register(queue.fileno(), select.POLLIN)
    queue.put(1)
    assert poller.poll(PATIENCE * 1000) and queue.get() == 1


def _poll_and_die(queue: Any) -> None:
    queue.fileno()
    os.kill(os.getpid(), signal.SIGKILL)


def fork_while_a_descriptor_is_out() -> None:
    import select
    import warnings

    queue = SimpleQueue()
    poller = select.poll()
    poller.register(queue.fileno(), select.POLLIN)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pid = os.fork()
        if pid == 0:
            own = select.poll()
            own.register(queue.fileno(), select.POLLIN)
            os._exit(0 if queue.get(timeout=PATIENCE) == "to the child" and not own.poll(0) else 1)
    queue.put("to the child")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    poller.poll(0)
    queue.put("to us")
    assert poller.poll(PATIENCE * 1000) and queue.get() == "to us"


def test_fork_while_a_descriptor_is_out_is_quiet() -> None:
    # In a process of its own: Python warns of a fork beside any thread, also one that an earlier test left.
    code = f"from {__name__} import fork_while_a_descriptor_is_out as function; function()"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, stderr=subprocess.PIPE, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_threads_share_a_queue() -> None:
    queue = JoinableQueue()
    got: list[int] = []

    def consume() -> None:
        while (item := queue.get()) is not None:
            got.append(item)
            queue.task_done()
        queue.task_done()

    threads = [threading.Thread(target=consume) for _ in range(4)]
    for thread in threads:
        thread.start()
    queue.put_many(range(5000))
    queue.put_many([None] * 4)
    assert queue.join(PATIENCE)
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(got) == list(range(5000))
