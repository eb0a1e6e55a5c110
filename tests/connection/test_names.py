"""CPython's names on the wire, and restricted unpickling."""

from __future__ import annotations

import datetime
import pickle
import pickletools
import subprocess
import sys

import pytest

from procession_connection import Client, Listener, WireReducer, allow, wire_reducer
from procession_connection._names import OURS
from procession_core import AuthenticationError, BufferTooShort, ProcessError


class Local:
    """Stands for a class of a higher layer."""

    def __init__(self, value):
        self.value = value


def function(x):
    return Local(x)


def names(data):
    strings = [argument for opcode, argument, _ in pickletools.genops(data) if "UNICODE" in opcode.name]
    strings += [argument for opcode, argument, _ in pickletools.genops(data) if opcode.name == "GLOBAL"]
    return strings


@pytest.mark.parametrize("protocol", [2, 3, 4, 5, None])
def test_errors_are_written_under_their_names(protocol):
    data = wire_reducer.dumps([BufferTooShort(b"x"), ProcessError, BufferTooShort(b"y")], protocol)
    assert OURS not in data
    assert any("multiprocessing.context" in name for name in names(data))
    first, cls, second = wire_reducer.loads(data)
    assert type(first) is type(second) is BufferTooShort and first.args == (b"x",)
    assert cls is ProcessError


def test_mapped_classes_and_functions():
    reducer = WireReducer()
    reducer.map(Local, "multiprocessing.managers", "Token")
    reducer.map(function, "multiprocessing.managers", "RebuildProxy")
    data = reducer.dumps([OURS, Local, Local(5), function])
    assert Local.__module__ not in "".join(map(str, names(data)))
    assert reducer.find_class("multiprocessing.managers", "Token") is Local
    assert reducer.find_class("multiprocessing.managers", "RebuildProxy") is function


def test_a_text_with_our_name_is_only_a_text():
    obj = {"procession_core": "multiprocessing.managers procession_connection", "x": b"procession_"}
    assert wire_reducer.loads(wire_reducer.dumps(obj)) == obj


def test_the_real_package_is_not_imported():
    code = """
import sys
from procession_connection import wire_reducer
import pickle
data = b"cmultiprocessing.context\\nProcessError\\n."
assert wire_reducer.loads(data).__module__ == "procession_core._errors"
try:
    wire_reducer.loads(b"cmultiprocessing.pool\\nPool\\n.")
except pickle.UnpicklingError as error:
    assert "no counterpart" in str(error)
else:
    raise SystemExit(1)
assert "multiprocessing" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_allow_lets_through_what_is_named():
    loads = allow("datetime.date", "collections.*", "multiprocessing.context.AuthenticationError")
    for obj in (None, 1, 2.5, "x", b"x", [1], (1,), {1: 2}, datetime.date(2020, 1, 1)):
        assert loads(pickle.dumps(obj)) == obj
    import collections

    assert loads(pickle.dumps(collections.OrderedDict(a=1))) == {"a": 1}
    assert type(loads(wire_reducer.dumps(AuthenticationError("x")))) is AuthenticationError


@pytest.mark.parametrize(
    "data",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"cbuiltins\neval\n.",
        b"\x80\x04\x8c\x08datetime\x8c\x0cdate.__class\x93.",
        b"\x80\x04\x8c\x0bcollections\x8c\x08abc.sys.\x93.",
    ],
)
def test_allow_refuses_everything_else(data):
    with pytest.raises(pickle.UnpicklingError, match="not allowed"):
        allow("datetime.date", "collections.*")(data)


def test_allow_wants_whole_names():
    with pytest.raises(ValueError, match="names no module"):
        allow("eval")
    with pytest.raises(TypeError, match="a name must be a string"):
        allow(datetime.date)


def test_what_is_no_unpickler():
    """It is refused before there is something to load."""
    for make in (lambda: Listener(unpickler="date"), lambda: Client("nowhere", unpickler=3)):
        with pytest.raises(TypeError, match="^unpickler must be a callable, as allow"):
            make()


def test_allow_can_be_sent():
    loads = pickle.loads(pickle.dumps(allow("datetime.date")))
    assert loads(pickle.dumps(datetime.date(2020, 1, 1))) == datetime.date(2020, 1, 1)
