"""wait()."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from procession_connection import Pipe, wait


def test_ready_objects_in_the_order_of_the_list():
    pipes = [Pipe() for _ in range(100)]
    readers = [first for first, _ in pipes]
    assert wait(readers, 0) == []
    for index in (70, 3, 99):
        pipes[index][1].send(index)
    assert wait(readers, 5) == [readers[3], readers[70], readers[99]]
    assert wait(iter(readers)) == [readers[3], readers[70], readers[99]]
    for first, second in pipes:
        first.close()
        second.close()


def test_sockets_descriptors_and_the_end_of_a_stream():
    one, two = socket.socketpair()
    reading, writing = os.pipe()
    first, second = Pipe()
    assert wait([one, reading, first], 0.01) == []
    two.send(b"x")
    os.write(writing, b"x")
    second.close()
    assert wait([one, reading, first], 5) == [one, reading, first]
    for closing in (one, two, first):
        closing.close()
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("timeout", [0, -1, 0.05])
def test_timeouts(timeout):
    first, second = Pipe()
    start = time.monotonic()
    assert wait([first], timeout) == []
    assert wait([], timeout) == []
    assert time.monotonic() - start >= 2 * max(timeout, 0)
    first.close()
    second.close()


def test_wakes_when_a_message_comes():
    first, second = Pipe()
    timer = threading.Timer(0.05, second.send, (1,))
    timer.start()
    assert wait([first]) == [first]
    timer.join()
    first.close()
    second.close()


def test_a_child_that_exits():
    child = subprocess.Popen([sys.executable, "-c", "pass"], stdout=subprocess.PIPE)
    assert wait([child.stdout], 60) == [child.stdout]
    child.stdout.close()
    child.wait()


def test_what_cannot_be_waited_for():
    with pytest.raises(ValueError, match="^Invalid file object: 'text' has no fileno"):
        wait(["text"], 0)
    with pytest.raises(ValueError, match="^Invalid file descriptor: -1"):
        wait([-1], 0)
    with (
        socket.socket() as closed,
        pytest.raises(ValueError, match="^Invalid file descriptor: -1; it must be"),
    ):
        closed.close()
        wait([closed])
    first, second = Pipe()
    first.close()
    with pytest.raises(OSError, match="handle is closed"):
        wait([first], 0)
    second.close()
    with pytest.raises(OSError):
        wait([1_000_000], 0)
    with pytest.raises(ValueError):
        wait([], float("nan"))


class Late:
    """Its descriptor says less, or more, than is there."""

    def __init__(self, descriptor, answers):
        self.fileno = lambda: descriptor
        self.answers = answers

    def _has_input(self):
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def test_objects_that_know_better_than_their_descriptor_are_asked():
    silent, end = Pipe()
    late = Late(silent.fileno(), [False, True])
    ended = os.open(os.devnull, os.O_RDONLY)
    try:
        # What came while the other was waited for counts, although the descriptor is quiet yet.
        assert wait([late, ended], 10) == [late, ended]
        end.send(1)
        assert wait([Late(silent.fileno(), [False])], 0.05) == []
    finally:
        os.close(ended)
        silent.close()
        end.close()
