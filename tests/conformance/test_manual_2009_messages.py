"""The manual of Python 2.6: Pipes and Queues, Connection objects, Listeners and Clients, Authentication, Logging."""

from __future__ import annotations

import array
import gc
import queue as stdlib_queue
import re
import subprocess
import sys
import threading
import time

import pytest

import procession as mp
from procession.connection import Client, Listener, answer_challenge, deliver_challenge


def put_and_end(queue, item):
    queue.put(item)


def put_and_cancel(queue, item):
    queue.put(item)
    queue.cancel_join_thread()


def send_and_close(connection, item):
    connection.send(item)
    connection.close()


def take_all(queue, count):
    for _ in range(count):
        queue.get()
        queue.task_done()


def run_with(target, *args):
    process = mp.Process(target=target, args=args)
    process.start()
    return process


def converse(ours, theirs):
    """Run both in threads of their own; return what each returned or raised."""
    outcomes = [None, None]

    def note(index, function):
        try:
            outcomes[index] = function()
        except BaseException as error:
            outcomes[index] = error

    threads = [threading.Thread(target=note, args=(i, f)) for i, f in enumerate((ours, theirs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return outcomes


# ---- Pipes and Queues ---------------------------------------------------------------------------------------------


def test_introduction_exchanging_objects_through_a_queue():
    queue = mp.Queue()
    process = run_with(put_and_end, queue, [42, None, "hello"])
    assert queue.get(timeout=30) == [42, None, "hello"]
    process.join()


def test_introduction_exchanging_objects_through_a_pipe():
    ours, theirs = mp.Pipe()
    process = run_with(send_and_close, theirs, [42, None, "hello"])
    assert ours.recv() == [42, None, "hello"]
    process.join()


def test_pipe_is_duplex_by_default():
    first, second = mp.Pipe()
    first.send(1)
    second.send(2)
    assert (second.recv(), first.recv()) == (1, 2)


def test_pipe_not_duplex():
    reads, writes = mp.Pipe(False)
    writes.send("one way")
    assert reads.recv() == "one way"
    with pytest.raises(OSError):
        reads.send(1)
    with pytest.raises(OSError):
        writes.recv()


@pytest.mark.parametrize("kind", ["Queue", "JoinableQueue"])
def test_queue_is_first_in_first_out(kind):
    queue = getattr(mp, kind)()
    for number in range(100):
        queue.put(number)
    assert [queue.get(timeout=30) for _ in range(100)] == list(range(100))


def put_many(queue, name):
    for number in range(50):
        queue.put((name, number))


def take_many(source, results):
    for name, number in iter(source.get, None):
        results.put((name, number))


@pytest.mark.parametrize("kind", ["Queue", "JoinableQueue"])
def test_queue_has_many_producers_and_consumers(kind):
    source, results = getattr(mp, kind)(), getattr(mp, kind)()
    producers = [run_with(put_many, source, name) for name in "ab"]
    consumers = [run_with(take_many, source, results) for _ in range(2)]
    found = [results.get(timeout=30) for _ in range(100)]
    assert sorted(found) == [(name, number) for name in "ab" for number in range(50)]
    for _ in consumers:
        source.put(None)
    for process in producers + consumers:
        process.join()


def test_queue_timeouts_are_the_standard_exceptions():
    queue = mp.Queue(1)
    with pytest.raises(stdlib_queue.Empty):
        queue.get(True, 0.01)
    queue.put(1)
    with pytest.raises(stdlib_queue.Full):
        queue.put(2, True, 0.01)
    assert not hasattr(mp, "Empty") and not hasattr(mp, "Full")


def test_queue_lacks_task_done_and_join():
    assert not hasattr(mp.Queue(), "task_done") and not hasattr(mp.Queue(), "join")


def test_queue_qsize_empty_full():
    queue = mp.Queue(2)
    assert queue.empty() and not queue.full() and queue.qsize() == 0
    queue.put(1)
    queue.put(2)
    assert queue.full() and queue.qsize() == 2
    assert queue.get(timeout=30) == 1
    assert not queue.full()


def test_queue_put_without_blocking_ignores_the_timeout():
    queue = mp.Queue(1)
    queue.put(1, False)
    begun = time.monotonic()
    with pytest.raises(stdlib_queue.Full):
        queue.put(2, False, 20)
    with pytest.raises(stdlib_queue.Full):
        queue.put_nowait(2)
    assert time.monotonic() - begun < 10


def test_queue_put_blocks_until_there_is_a_slot():
    queue = mp.Queue(1)
    queue.put(1)
    taken = []
    timer = threading.Timer(0.1, lambda: taken.append(queue.get()))
    timer.start()
    queue.put(2)
    timer.join()
    assert taken == [1] and queue.get(timeout=30) == 2


def test_queue_get_without_blocking_ignores_the_timeout():
    queue = mp.Queue()
    begun = time.monotonic()
    with pytest.raises(stdlib_queue.Empty):
        queue.get(False, 20)
    with pytest.raises(stdlib_queue.Empty):
        queue.get_nowait()
    with pytest.raises(stdlib_queue.Empty):
        queue.get_no_wait()
    assert time.monotonic() - begun < 10


def test_queue_close_is_for_this_process():
    queue = mp.Queue()
    queue.put("before")
    queue.close()
    with pytest.raises(ValueError):
        queue.put("after")


def test_queue_join_thread_only_after_close():
    queue = mp.Queue()
    queue.put(1)
    with pytest.raises(AssertionError):
        queue.join_thread()
    queue.close()
    queue.join_thread()


def test_queue_items_are_flushed_before_a_child_ends():
    queue = mp.Queue()
    process = run_with(put_and_end, queue, "flushed")
    process.join()
    assert queue.get(timeout=30) == "flushed"


def test_queue_cancel_join_thread_lets_a_child_end():
    queue = mp.Queue()
    process = run_with(put_and_cancel, queue, "small")
    process.join(30)
    assert process.exitcode == 0


def test_joinable_queue_join_waits_for_every_task():
    queue = mp.JoinableQueue()
    for number in range(20):
        queue.put(number)
    process = run_with(take_all, queue, 20)
    queue.join()
    assert queue.empty()
    process.join()


def test_joinable_queue_task_done_too_often():
    queue = mp.JoinableQueue()
    queue.put(1)
    queue.get(timeout=30)
    queue.task_done()
    with pytest.raises(ValueError):
        queue.task_done()


@pytest.mark.native_only
def test_guidelines_joining_processes_that_use_queues():
    queue = mp.Queue()
    process = run_with(put_and_end, queue, "X" * 1000000)
    process.join(30)
    assert process.exitcode == 0
    assert len(queue.get(timeout=30)) == 1000000


def test_guidelines_joining_after_everything_was_taken():
    queue = mp.Queue()
    process = run_with(put_and_end, queue, "X" * 1000000)
    assert len(queue.get(timeout=30)) == 1000000
    process.join(30)
    assert process.exitcode == 0


# ---- Connection objects -------------------------------------------------------------------------------------------


def test_connection_send_needs_picklable_objects():
    first, _second = mp.Pipe()
    with pytest.raises((TypeError, AttributeError)):
        first.send(threading.Lock())


def test_connection_recv_at_the_end():
    first, second = mp.Pipe()
    first.send("last")
    first.close()
    assert second.recv() == "last"
    for receive in (second.recv, second.recv_bytes, lambda: second.recv_bytes_into(bytearray(9))):
        with pytest.raises(EOFError):
            receive()


def test_connection_fileno_and_close():
    first, second = mp.Pipe()
    assert isinstance(first.fileno(), int)
    first.close()
    with pytest.raises(OSError):
        first.send(1)
    with pytest.raises(OSError):
        first.fileno()


def test_connection_is_closed_when_collected():
    first, second = mp.Pipe()
    del first
    gc.collect()
    with pytest.raises(EOFError):
        second.recv()


def test_connection_poll():
    first, second = mp.Pipe()
    assert second.poll() is False
    begun = time.monotonic()
    assert second.poll(0.05) is False
    assert time.monotonic() - begun >= 0.04
    threading.Timer(0.05, first.send, ("late",)).start()
    assert second.poll(None) is True
    assert second.poll() is True and second.recv() == "late"


def test_connection_send_bytes_offset_and_size():
    first, second = mp.Pipe()
    for arguments, expected in (((), b"0123456789"), ((4,), b"456789"), ((4, 3), b"456")):
        first.send_bytes(b"0123456789", *arguments)
        assert second.recv_bytes() == expected


def test_connection_recv_bytes_maxlength():
    first, second = mp.Pipe()
    first.send_bytes(b"exactly 10")
    assert second.recv_bytes(10) == b"exactly 10"
    first.send_bytes(b"longer than that")
    with pytest.raises(OSError):
        second.recv_bytes(10)
    with pytest.raises(OSError):
        second.recv_bytes()


def test_connection_recv_bytes_into():
    first, second = mp.Pipe()
    numbers = array.array("i", range(5))
    room = array.array("i", [0] * 10)
    first.send_bytes(numbers)
    assert second.recv_bytes_into(room) == len(numbers) * numbers.itemsize
    assert room == array.array("i", [0, 1, 2, 3, 4, 0, 0, 0, 0, 0])
    first.send_bytes(numbers)
    second.recv_bytes_into(room, 5 * room.itemsize)
    assert room == array.array("i", [0, 1, 2, 3, 4, 0, 1, 2, 3, 4])
    with pytest.raises(ValueError):
        second.recv_bytes_into(room, -1)
    with pytest.raises(ValueError):
        second.recv_bytes_into(room, 10 * room.itemsize + 1)


def test_connection_text_is_not_bytes():
    first, _second = mp.Pipe()
    with pytest.raises(TypeError):
        first.send_bytes("thank you")


# ---- Listeners and Clients ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ours", "theirs"), [(b"key", b"key"), (b"key", b"other")])
def test_listeners_challenges(ours, theirs):
    first, second = mp.Pipe()
    outcomes = converse(lambda: deliver_challenge(first, ours), lambda: answer_challenge(second, theirs))
    if ours == theirs:
        assert outcomes == [None, None]
    else:
        assert all(isinstance(outcome, mp.AuthenticationError) for outcome in outcomes)


def test_listeners_example():
    with Listener(("localhost", 0), authkey=b"secret password") as listener:
        assert listener.last_accepted is None

        def serve():
            with listener.accept() as connection:
                connection.send([2.25, None, "junk", float])
                connection.send_bytes(b"hello")
                connection.send_bytes(array.array("i", [42, 1729]))

        def visit():
            with Client(listener.address, authkey=b"secret password") as connection:
                room = array.array("i", [0, 0, 0, 0, 0])
                return (
                    connection.recv(),
                    connection.recv_bytes(),
                    connection.recv_bytes_into(room),
                    list(room),
                )

        outcomes = converse(serve, visit)
        assert outcomes == [None, ([2.25, None, "junk", float], b"hello", 8, [42, 1729, 0, 0, 0])]
        assert listener.last_accepted[0] == "127.0.0.1"


def test_listeners_wrong_key():
    with Listener(authkey=b"one") as listener:
        outcomes = converse(listener.accept, lambda: Client(listener.address, authkey=b"two"))
    assert all(isinstance(outcome, mp.AuthenticationError) for outcome in outcomes)


@pytest.mark.parametrize("family", ["AF_INET", "AF_UNIX"])
def test_listeners_families(family):
    with Listener(family=family) as listener:
        assert isinstance(listener.address, tuple if family == "AF_INET" else str)
        ours, theirs = converse(listener.accept, lambda: Client(listener.address))
        theirs.send(family)
        assert ours.recv() == family
        ours.close()
        theirs.close()


def test_listeners_family_is_inferred_from_the_address(tmp_path):
    with Listener(("localhost", 0)) as listener:
        host, port = listener.address
        assert isinstance(host, str) and port > 0
    with Listener(str(tmp_path / "socket")) as listener:
        assert listener.address == str(tmp_path / "socket")


@pytest.mark.linux_only
def test_listeners_default_is_the_fastest_family():
    with Listener() as listener:
        assert isinstance(listener.address, str)
    with Listener() as other:
        assert other.address != listener.address


def test_listeners_close_releases_the_address():
    listener = Listener(("localhost", 0))
    address = listener.address
    listener.close()
    with pytest.raises(OSError):
        Client(address)
    with pytest.raises(OSError):
        listener.accept()


def test_listeners_properties_are_read_only():
    with Listener() as listener:
        for name in ("address", "last_accepted"):
            with pytest.raises(AttributeError):
                setattr(listener, name, None)


@pytest.mark.parametrize(("ours", "theirs"), [("secret", "secret"), ("secret", b"secret")])
def test_authentication_keys_may_be_text(ours, theirs):
    with Listener(authkey=ours) as listener:
        first, second = converse(listener.accept, lambda: Client(listener.address, authkey=theirs))
    first.send("same key")
    assert second.recv() == "same key"


def test_authentication_by_the_old_argument():
    with Listener(None, None, 1, True) as listener:
        first, second = converse(listener.accept, lambda: Client(listener.address, None, True))
        first.send("same key")
        assert second.recv() == "same key"
        wrong = converse(listener.accept, lambda: Client(listener.address, authkey=b"other"))
        assert all(isinstance(outcome, mp.AuthenticationError) for outcome in wrong)


def test_authentication_key_of_the_process_is_shared():
    key = mp.current_process().authkey
    with Listener(authkey=key) as listener:
        process = run_with(visit_with_own_key, listener.address)
        with listener.accept() as connection:
            assert connection.recv() == "same key"
        process.join()


def visit_with_own_key(address):
    with Client(address, authkey=mp.current_process().authkey) as connection:
        connection.send("same key")


# ---- Logging ------------------------------------------------------------------------------------------------------


def test_logging_the_logger_does_not_propagate():
    logger = mp.get_logger()
    assert logger is mp.get_logger() and logger.level == 0 and not logger.propagate


def test_logging_format():
    text = "import procession as mp; mp.log_to_stderr(); mp.get_logger().warning('doomed')"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60)
    assert done.stderr == "[WARNING/MainProcess] doomed\n"


def test_logging_no_handler_by_default():
    text = "import procession as mp; print(mp.get_logger().handlers)"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n"


def test_logging_of_a_child():
    text = (
        "import procession as mp\nif __name__ == '__main__':\n"
        "    mp.log_to_stderr('INFO'); p = mp.Process(target=int); p.start(); p.join()"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60)
    assert re.search(r"\[INFO/Process-1\] child process calling self\.run\(\)", done.stderr), done.stderr
