"""Arena objects and big buffers in the messages of a pipe."""

from __future__ import annotations

import gc
import os
import pickle
import signal

import pytest

from procession_connection import Pipe
from procession_core import StaleHandleError, current_transfer, default_reducer
from procession_native import core

pytestmark = pytest.mark.native_only
np = pytest.importorskip("numpy")


class Named:
    """Pickled as the arena objects of the higher layers are."""

    def __init__(self, shared):
        self.shared = shared

    def __reduce__(self):
        current_transfer().hold(self.shared)
        return rebuild, (self.shared.handle(),)


def rebuild(handle):
    return Named(core.open_handle(handle))


def used():
    """Bytes in use, after the remains of what was dropped have been cleared away."""
    gc.collect()
    for _ in range(300):
        core.Block(1)
    return core.memory()["used"]


@pytest.fixture
def nothing_stays():
    core.ensure()
    before = used()
    yield
    assert used() <= before
    assert core.check() is None


@pytest.fixture(params=["ring", "descriptor"])
def carrier(request):
    """What the messages of a pipe go through."""

    def make(duplex=True):
        reader, writer = Pipe(duplex)
        if request.param == "descriptor":
            writer.fileno()
            reader.fileno()
        return reader, writer

    return make


@pytest.mark.parametrize("duplex", [True, False])
def test_a_message_holds_what_it_names(duplex, carrier, nothing_stays):
    reader, writer = carrier(duplex)
    block = core.Block(1000)
    memoryview(block)[:3] = b"abc"
    writer.send([Named(block), Named(block)])
    del block
    first, second = reader.recv()
    assert bytes(memoryview(first.shared)[:3]) == b"abc"
    assert first.shared.handle() == second.shared.handle()
    del first, second
    reader.close()
    writer.close()


def test_it_survives_its_sender(carrier, nothing_stays):
    reader, writer = carrier(duplex=False)
    for _ in range(10):
        pid = os.fork()
        if pid == 0:
            block = core.Block(100)
            memoryview(block)[:3] = b"abc"
            writer.send((Named(block), np.arange(10_000)))
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
    for _ in range(10):
        named, array = reader.recv()
        assert bytes(memoryview(named.shared)[:3]) == b"abc"
        assert (array == np.arange(10_000)).all()
    del named, array
    core.sweep()
    reader.close()
    writer.close()


def test_messages_that_nobody_reads_are_freed_with_the_pipe(nothing_stays):
    reader, writer = Pipe()
    before = used()
    for _ in range(6):
        writer.send(np.zeros(20_000))
        reader.send(Named(core.Block(10)))
    assert used() > before + 6 * 160_000
    reader.close()
    assert used() > before + 6 * 160_000, "the other end may still be sent somewhere"
    writer.close()


def test_raw_reading_works_and_only_once(carrier, nothing_stays):
    reader, writer = carrier()
    array = np.random.default_rng(1).random(100_000)
    writer.send({"array": array})
    data = reader.recv_bytes()
    assert len(data) < 2000
    assert (pickle.loads(data)["array"] == array).all()
    gc.collect()
    with pytest.raises(StaleHandleError):
        pickle.loads(data)
    reader.close()
    writer.close()


def test_received_arrays_are_as_writable_as_those_sent():
    reader, writer = Pipe()
    array = np.zeros(100_000)
    writer.send(array)
    got = reader.recv()
    got[0] = 1
    assert array[0] == 0
    array.flags.writeable = False
    writer.send(array)
    assert not reader.recv().flags.writeable
    reader.close()
    writer.close()


def test_ends_that_are_sent_take_the_record_along(nothing_stays):
    carrier_out, carrier_in = Pipe()
    reader, writer = Pipe(duplex=False)
    writer.send(np.ones(100_000))
    carrier_in.send([reader, writer])
    reader.close()
    writer.close()
    reader, writer = carrier_out.recv()
    assert reader.recv().sum() == 100_000
    writer.send(np.ones(100_001))
    assert reader.recv().sum() == 100_001
    for closing in (reader, writer, carrier_in, carrier_out):
        closing.close()


def test_messages_taken_out_of_order(carrier, nothing_stays):
    reader, writer = carrier()
    for number in range(10):
        writer.send(np.full(10_000, number))
    frames = [reader.recv_bytes() for _ in range(10)]
    for number in (9, 0, 5, 4, 1, 8, 2, 3, 7, 6):
        assert pickle.loads(frames[number])[0] == number
    writer.send(Named(core.Block(1)))
    reader.recv()
    reader.close()
    writer.close()


def test_a_receiver_killed_before_it_has_loaded(carrier, nothing_stays):
    reader, writer = carrier()
    writer.send(np.zeros(50_000))
    writer.send(np.ones(50_000))
    pid = os.fork()
    if pid == 0:
        reader.recv_bytes()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    core.sweep()
    assert reader.recv()[0] == 1
    reader.close()
    writer.close()


def test_outside_a_tree_pipe_buffers_stay_in_the_message():
    data = default_reducer.dumps(np.zeros(100_000))
    assert len(data) > 800_000
