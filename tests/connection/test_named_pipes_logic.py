"""What the code for named pipes does with the answers of Windows, by a fake ``_winapi`` on any platform."""

from __future__ import annotations

import importlib
import sys
import types

import pytest

BROKEN, NO_DATA, MORE, ABORTED, PENDING = 109, 232, 234, 995, 997


class Failure(OSError):
    """An OSError as Windows raises it."""

    def __init__(self, winerror):
        super().__init__(32, "failed")
        self.winerror = winerror


class Overlapped:
    """A call that ends at once, or at ``settle()``; with a number for its event."""

    event = 1

    def __init__(self, data, error):
        self.data, self.error = data, error
        self.cancelled = False

    def cancel(self):
        self.cancelled = True

    def getbuffer(self):
        return memoryview(self.data)

    def GetOverlappedResult(self, wait):  # noqa: N802 - the name that Windows gives
        if self.error == PENDING:
            self.error = ABORTED
        if self.error in (BROKEN, NO_DATA):
            raise Failure(self.error)
        return len(self.data), self.error


class Pipe:
    """The end of a pipe in message mode, with what has arrived; stands for the module ``_winapi``, too."""

    INFINITE = 0xFFFFFFFF

    def __init__(self):
        self.arrived = []
        self.written = []
        self.ended = 0
        self.on_wait = None

    def ReadFile(self, handle, size, overlapped):  # noqa: N802
        if not self.arrived:
            if self.ended:
                raise Failure(self.ended)
            self.pending = Overlapped(b"", PENDING)
            return self.pending, PENDING
        message = self.arrived[0]
        data, rest = message[:size], message[size:]
        if rest:
            self.arrived[0] = rest
            return Overlapped(data, MORE), MORE
        self.arrived.pop(0)
        return Overlapped(data, 0), 0

    def WriteFile(self, handle, data, overlapped):  # noqa: N802
        self.written.append(bytes(data))
        return Overlapped(bytes(data), 0), 0

    def PeekNamedPipe(self, handle, size):  # noqa: N802
        return (0, len(self.arrived[0]) if self.arrived else 0)

    def WaitForMultipleObjects(self, events, every, milliseconds):  # noqa: N802
        self.on_wait()


@pytest.fixture
def windows(monkeypatch):
    """The fake, and the module for messages, which sees Windows."""
    fake = Pipe()
    stand_in = types.ModuleType("_winapi")
    for name in ("ReadFile", "WriteFile", "PeekNamedPipe", "WaitForMultipleObjects", "INFINITE"):
        setattr(stand_in, name, getattr(fake, name))
    name = "procession_connection._messages_windows"
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "win32")
        patch.setitem(sys.modules, "_winapi", stand_in)
        patch.delitem(sys.modules, name, raising=False)
        module = importlib.import_module(name)
        patch.setitem(sys.modules, name, module)  # and so is taken out again
    sys.modules.pop(name, None)
    return fake, module


def test_other_platforms_do_not_have_the_modules():
    if sys.platform == "win32":
        pytest.skip("this is Windows")
    for name in ("_messages_windows", "_connection_windows", "_pipes_windows", "_handles_windows"):
        assert f"procession_connection.{name}" not in sys.modules
        with pytest.raises(ImportError, match="needs Windows"):
            importlib.import_module(f"procession_connection.{name}")


def test_one_write_is_one_message(windows):
    fake, module = windows
    pipe = module.MessagePipe(5)
    pipe.send(b"abc")
    pipe.send(memoryview(bytes(10)).cast("H"))
    pipe.send(b"")
    assert fake.written == [b"abc", bytes(10), b""]


@pytest.mark.parametrize("size", [0, 1, 8191, 8192, 8193, 100_000])
def test_message_is_put_together(windows, size):
    fake, module = windows
    pipe = module.MessagePipe(5)
    fake.arrived = [b"x" * size, b"next"]
    assert pipe.recv(-1) == b"x" * size
    assert pipe.recv(4) == b"next"


@pytest.mark.parametrize("size", [10, 9000])
def test_limit(windows, size):
    fake, module = windows
    pipe = module.MessagePipe(5)
    fake.arrived = [b"x" * size, b"y" * size]
    assert pipe.recv(size) == b"x" * size
    assert pipe.recv(size - 1) is None


@pytest.mark.parametrize("winerror", [BROKEN, NO_DATA])
def test_end_between_messages(windows, winerror):
    fake, module = windows
    fake.ended = winerror
    pipe = module.MessagePipe(5)
    assert pipe.begin() is None and pipe.is_ready()
    with pytest.raises(EOFError):
        pipe.recv(-1)


def test_end_inside_a_message(windows):
    fake, module = windows
    fake.arrived = [b"x" * 9000]
    peek = fake.PeekNamedPipe

    def end_then(handle, size):
        left = peek(handle, size)
        fake.arrived, fake.ended = [], BROKEN
        return left

    sys_module = module._winapi
    sys_module.PeekNamedPipe = end_then
    with pytest.raises(OSError, match="end of file during message"):
        module.MessagePipe(5).recv(-1)


def test_messages_of_no_bytes_are_counted(windows):
    fake, module = windows
    pipe = module.MessagePipe(5)
    fake.arrived = [b"", b"", b"text"]
    assert pipe.is_ready() and pipe.is_ready()
    assert (pipe.empty, fake.arrived) == (1, [b"", b"text"])
    assert [pipe.recv(-1) for _ in range(3)] == [b"", b"", b"text"]
    assert not pipe.is_ready()


def test_waiting_takes_nothing_of_a_message(windows):
    fake, module = windows
    pipe = module.MessagePipe(5)
    fake.arrived = [b"text"]
    assert pipe.is_ready() and pipe.is_ready()
    assert pipe.empty == 0 and pipe.recv(-1) == b"text"


@pytest.mark.parametrize(
    ("error", "ready", "empty"), [(PENDING, False, 0), (MORE, True, 0), (0, True, 1), (BROKEN, True, 0)]
)
def test_wait_that_ends_as_it_is_ended(windows, error, ready, empty):
    _, module = windows
    pipe = module.MessagePipe(5)
    overlapped = pipe.begin()
    overlapped.error = error
    assert pipe.end(overlapped) is ready
    assert overlapped.cancelled and pipe.empty == empty


def test_pending_read_is_waited_for(windows):
    fake, module = windows

    def arrive():
        fake.pending.data, fake.pending.error = b"late", 0

    fake.on_wait = arrive
    assert module.MessagePipe(5).recv(-1) == b"late"


def test_interrupted_read_is_cancelled(windows):
    fake, module = windows

    def interrupt():
        raise KeyboardInterrupt

    fake.on_wait = interrupt
    with pytest.raises(KeyboardInterrupt):
        module.MessagePipe(5).recv(-1)
    assert fake.pending.cancelled


def test_read_that_close_has_ended(windows):
    fake, module = windows
    fake.on_wait = lambda: None
    with pytest.raises(OSError, match="handle is closed"):
        module.MessagePipe(5).recv(-1)
