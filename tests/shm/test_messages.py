"""``pack`` and ``unpack``: what travels beside the pickle, who owns it, and when it is freed."""

from __future__ import annotations

import os
import pickle
import random
import signal
import threading

import pytest

from procession_core import StaleHandleError, current_transfer
from procession_shm import (
    MessageTransfer,
    memory,
    native,
    oob_threshold,
    pack,
    set_oob_threshold,
    share,
    unpack,
)


class Buffer:
    """An object whose bytes travel out of band."""

    def __init__(self, data):
        self.data = data

    def __reduce_ex__(self, protocol):
        return Buffer, (pickle.PickleBuffer(self.data),)


@pytest.fixture(autouse=True)
def threshold():
    old = oob_threshold()
    yield
    set_oob_threshold(old)


PLAIN = [None, True, 0, -(2**80), 1.5, "text", "ä\udc80", b"bytes", bytearray(b"x"), (1, "a"), [1, [2]], {"a": {1: 2}},
         {3}, frozenset([1]), 1j, range(5), Ellipsis, int, len, "x" * 300_000, list(range(100_000))]  # fmt: skip


@pytest.mark.parametrize("index", range(len(PLAIN)))
def test_plain_objects(index):
    message = pack(PLAIN[index])
    assert not message.refs
    assert unpack(message.data) == PLAIN[index]
    data, refs = message
    assert data is message.data and refs is message.refs


@pytest.mark.parametrize("size", [0, 1, 1000, 65535, 65536, 65537, 1 << 20, (1 << 24) + 3])
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_buffers_arrive_as_they_were(kind, size):
    data = kind(random.Random(size).randbytes(size))
    message = pack([1, Buffer(data), "end"])
    one, buffer, end = unpack(message.data, message.refs)
    assert (one, end) == (1, "end")
    assert bytes(buffer.data) == data
    view = memoryview(buffer.data)
    assert view.readonly is (kind is bytes)
    if native is not None:
        assert len(message.refs) == (size >= 65536)
        assert (len(message.data) < 1000) is (size >= 65536 or size < 900)


def test_the_threshold():
    assert set_oob_threshold(100) == 65536
    small = bytearray(100)
    assert len(pack(Buffer(small)).refs) == (native is not None)
    assert set_oob_threshold(101) == 100
    assert not pack(Buffer(small)).refs
    set_oob_threshold(0)
    assert oob_threshold() == 0
    assert not pack(Buffer(bytearray(1 << 20))).refs
    for wrong, error in [(-1, ValueError), ("a", TypeError), (None, TypeError), (1.5, TypeError)]:
        with pytest.raises(error):
            set_oob_threshold(wrong)
    assert oob_threshold() == 0


def test_a_buffer_that_is_not_contiguous_is_an_error_as_in_pickle():
    with pytest.raises(pickle.PicklingError):
        pack(Buffer(memoryview(bytes(1 << 20))[::2]))
    assert current_transfer() is None


def test_errors_of_pickling_leave_nothing_behind():
    with pytest.raises(TypeError) as caught:
        pack([Buffer(bytearray(1 << 20)), threading.Lock()])
    assert current_transfer() is None
    assert caught.value
    message = pack([1])
    assert not message.refs and unpack(message.data) == [1]


def test_packing_inside_packing():
    class Inner:
        def __reduce__(self):
            message = pack(Buffer(bytearray(1 << 20)))
            return bytes, (message.data[:1],)

    message = pack([Inner(), Buffer(bytearray(b"y" * (1 << 20)))])
    first, second = unpack(message.data, message.refs)
    assert bytes(second.data) == b"y" * (1 << 20) and len(first) == 1


def test_a_message_can_be_read_from_any_buffer():
    message = pack(Buffer(bytearray(b"z" * 100_000)))
    for data in (bytearray(message.data), memoryview(message.data), memoryview(bytearray(message.data))):
        assert bytes(unpack(data).data) == b"z" * 100_000


def test_numpy():
    numpy = pytest.importorskip("numpy")
    for array in (
        numpy.arange(100_000.0),
        numpy.arange(100_000).reshape(100, 1000),
        numpy.asfortranarray(numpy.arange(100_000).reshape(100, 1000)),
        numpy.arange(200_000)[::2],
        numpy.zeros(50_000, dtype=[("a", "i4"), ("b", "f8")]),
        numpy.array(5),
        numpy.zeros((0, 3)),
        numpy.array([object, None], dtype=object),
    ):
        for writable in (True, False):
            array.flags.writeable = writable
            message = pack({"array": array})
            other = unpack(message.data, message.refs)["array"]
            assert other.dtype == array.dtype and other.shape == array.shape and (other == array).all()
            contiguous = array.flags.forc and array.dtype != object
            if array.nbytes >= 65536 and contiguous:
                assert other.flags.writeable is writable
            if native is not None:
                assert len(message.refs) == (array.nbytes >= 65536 and contiguous)


def test_pandas():
    pandas = pytest.importorskip("pandas")
    numpy = pytest.importorskip("numpy")
    n = 50_000
    frame = pandas.DataFrame(
        {
            "int": numpy.arange(n),
            "float": numpy.arange(n) / 3,
            "text": ["x", "yy"] * (n // 2),
            "category": pandas.Categorical(["a", "b"] * (n // 2)),
            "when": pandas.date_range("2020-01-01", periods=n, freq="min"),
        },
        index=pandas.RangeIndex(5, n + 5, name="row"),
    )
    for one in (
        frame,
        frame["float"],
        frame.iloc[::2],
        frame.set_index("when"),
        frame[["int"]].T,
        frame.iloc[:3],
    ):
        message = pack(one)
        other = unpack(message.data, message.refs)
        test = pandas.testing.assert_series_equal if one.ndim == 1 else pandas.testing.assert_frame_equal
        test(other, one)
    assert native is None or pack(frame).refs


def test_arrow():
    pyarrow = pytest.importorskip("pyarrow")
    n = 50_000
    table = pyarrow.table(
        {"int": list(range(n)), "text": ["ab"] * n, "nothing": [None, 1.5] * (n // 2), "list": [[1, 2]] * n}
    )
    for one in (
        table,
        table.slice(100, 2000),
        table["int"],
        table.to_batches()[0],
        pyarrow.array([1, None, 3] * n),
    ):
        message = pack(one)
        other = unpack(message.data, message.refs)
        assert other.equals(one)
        if native is not None:
            assert bool(message.refs) or len(one) <= 2000


def test_writing_into_what_arrived_does_not_change_the_source():
    source = bytearray(b"a" * 100_000)
    message = pack(Buffer(source))
    other = unpack(message.data)
    other.data[0:1] = b"b"
    assert source[0:1] == b"a"


# ---- who owns the memory --------------------------------------------------------------------------------------------


def used():
    return memory()["used"]


@pytest.mark.native_only
def test_the_last_view_frees_the_block():
    pack(Buffer(bytearray(65536)))
    before = used()
    message = pack(Buffer(bytearray(1 << 20)))
    assert used() >= before + (1 << 20)
    buffer = unpack(message.data, message.refs)
    view = memoryview(buffer.data)[10:20]
    del message, buffer
    assert used() >= before + (1 << 20)
    del view
    assert used() == before


@pytest.mark.native_only
def test_data_alone_keeps_nothing():
    data = pack(Buffer(bytearray(1 << 20))).data
    with pytest.raises(StaleHandleError):
        unpack(data)


@pytest.mark.native_only
def test_a_failing_unpickling_frees_the_block():
    message = pack(Buffer(bytearray(1 << 20)))
    before = used()
    with pytest.raises((pickle.UnpicklingError, EOFError, ValueError)):
        unpack(message.data[:-5] + b"\xff" * 5, message.refs)
    assert used() == before
    del message
    assert used() < before


@pytest.mark.native_only
def test_ten_thousand_arrays_leave_memory_flat():
    source = bytearray(1 << 20)
    pack(Buffer(source))
    sizes = []
    for turn in range(10_000):
        message = pack(Buffer(source))
        buffer = unpack(message.data, message.refs)
        assert len(buffer.data) == 1 << 20
        del message, buffer
        if turn % 1000 == 0:
            sizes.append((used(), os.fstat(native.fds()[0]).st_blocks))
    assert len(set(sizes[1:])) == 1, sizes


@pytest.mark.native_only
@pytest.mark.parametrize("who", ["sender", "receiver", "holder"])
def test_killed_processes_give_their_memory_back(who):
    pack(Buffer(bytearray(65536)))
    native.sweep()
    before = used()
    kept = pack(Buffer(bytearray(3 << 20))) if who != "sender" else None
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        if who == "sender":
            held = [pack(Buffer(bytearray(1 << 20))) for _ in range(5)]
        elif who == "receiver":
            held = unpack(kept.data, kept.refs)
        else:
            held = memoryview(unpack(kept.data, kept.refs).data)[5:]
        os.write(writer, b"x")
        signal.pause()
        os._exit(len(held) < 0)
    os.read(reader, 1)
    os.close(reader)
    os.close(writer)
    del kept
    assert used() >= before + (3 << 20)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    native.sweep()
    assert used() == before
    assert native.check() is None


@pytest.mark.native_only
@pytest.mark.slow
def test_random_kills_give_their_memory_back():
    chance = random.Random(7)
    pack(Buffer(bytearray(65536)))
    native.sweep()
    before = used()
    for _ in range(40):
        message = pack([Buffer(bytearray(chance.randrange(65536, 1 << 21))) for _ in range(3)])
        # A child that is killed before it has registered is given up only after a while: let it begin.
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(writer, b"x")
            while True:
                again = pack(unpack(message.data, message.refs))
                unpack(again.data, again.refs)
        os.read(reader, 1)
        os.close(reader)
        os.close(writer)
        signal.sigtimedwait([], chance.random() / 50)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        del message
    native.sweep()
    assert used() == before
    assert native.check() is None


# ---- share ----------------------------------------------------------------------------------------------------------


def test_shared_objects_come_back():
    for obj in PLAIN:
        assert share(obj).get() == obj
    handle = share({"a": Buffer(bytearray(b"q" * 5000)), "b": [1]})
    first, second = handle.get(), handle.get()
    assert bytes(first["a"].data) == b"q" * 5000 and first["a"] is not second["a"]
    assert memoryview(first["a"].data).readonly
    assert repr(handle) == f"<SharedObject of {handle.nbytes} bytes>" and handle.nbytes >= 5000


def test_shared_arrays_are_read_only_views():
    numpy = pytest.importorskip("numpy")
    handle = share(numpy.arange(100_000.0))
    first, second = handle.get(), handle.get()
    assert (first == second).all() and not first.flags.writeable
    if native is not None:
        assert numpy.shares_memory(first, second)
    del handle, first
    assert second[99_999] == 99_999.0


def test_handles_travel(children):
    handle = share([Buffer(bytearray(b"w" * 100_000))])
    message = pack(handle)
    again = unpack(message.data, message.refs)
    del handle, message
    assert children.in_fork(lambda: bytes(again.get()[0].data[:3])) == b"www"
    assert bytes(again.get()[0].data[-3:]) == b"www"


@pytest.mark.native_only
def test_the_last_handle_or_view_frees_the_memory():
    share(1)
    before = used()
    handle = share(Buffer(bytearray(1 << 20)))
    other = unpack(*pack(handle))
    view = handle.get().data
    del handle, other
    assert used() >= before + (1 << 20)
    del view
    assert used() == before


@pytest.mark.native_only
def test_a_shared_object_keeps_what_it_names():
    locks = [native.Lock()]

    class Named:
        def __reduce__(self):
            current_transfer().hold(locks[0])
            return native.open_handle, (locks[0].handle(),)

    handle = share([Named()])
    old = locks.pop().handle()
    assert handle.get()[0].handle() == old
    del handle
    with pytest.raises(StaleHandleError):
        native.open_handle(old)


def test_a_transfer_collects_each_object_once():
    transfer = MessageTransfer()
    one, two = object(), object()
    for obj in (one, two, one):
        transfer.hold(obj)
    assert transfer.refs == [one, two] and transfer.spawning is False


# ---- large buffers when memory is scarce -----------------------------------------------------------------------------


@pytest.mark.native_only
def test_who_holds_many_large_buffers_holds_little_of_the_arena():
    native.trim()
    before = used()
    source = bytearray(b"k" * (4 << 20))
    kept = []
    for turn in range(40):
        source[:4] = turn.to_bytes(4, "little")
        message = pack(Buffer(source))
        kept.append(unpack(message.data, message.refs).data)
        del message
    for turn, view in enumerate(kept):
        assert bytes(view[:5]) == turn.to_bytes(4, "little") + b"k" and bytes(view[-3:]) == b"kkk"
        assert len(view) == 4 << 20 and not view.readonly
        view[0] = 99
    # All are in place only where private memory is slower than the arena's.
    assert used() - before <= 40 * (4 << 20)
    del kept, view
    assert used() == before


@pytest.mark.native_only
def test_large_buffers_in_place():
    native.trim()
    before = used()
    messages = [pack(Buffer(bytes([turn]) * (3 << 20))) for turn in range(10)]
    kept = [unpack(message.data, None, True).data for message in messages]
    del messages
    assert used() - before == 30 << 20
    assert all(view.readonly and bytes(view[:2]) == bytes([turn] * 2) for turn, view in enumerate(kept))


@pytest.mark.native_only
@pytest.mark.parametrize("size", [131_071, 131_072, 131_073, 1_000_003, (16 << 20) + 5, (64 << 20) + 1])
def test_new_memory_and_used_memory_hold_the_same(size):
    native.trim()
    source = bytes(range(256)) * (size // 256) + bytes(size % 256)
    for _ in range(3):
        message = pack(Buffer(source))
        assert bytes(unpack(message.data, message.refs).data) == source
        del message
    assert native.check() is None


@pytest.mark.native_only
def test_a_limited_file_size_does_not_stop_messages():
    import resource

    if os.fork() == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))
        message = pack(Buffer(b"x" * (1 << 20)))
        os._exit(0 if bytes(unpack(message.data).data) == b"x" * (1 << 20) else 1)
    assert os.wait()[1] == 0


@pytest.mark.native_only
def test_a_cut_message_is_refused():
    message = pack([Buffer(bytearray(1 << 20)), Buffer(bytearray(1 << 20))])
    for length in (1, 4, 5, 44, 84, 85):
        with pytest.raises(EOFError):
            unpack(message.data[:length], message.refs)
