"""Arrays, frames and plain buffers through everything that carries objects: equal, and as writable as they were."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

import procession

MAKERS = [
    "bytearray",
    "bytes",
    "numpy",
    "numpy fixed",
    "numpy fortran",
    "pandas",
    "pandas arrow",
    "arrow",
]
CARRIERS = ["queue", "pipe", "simple queue", "pool", "manager"]


def make(kind: str) -> Any:
    """Some megabytes of this kind, or a skip."""
    if kind == "bytearray":
        return pickle.PickleBuffer(bytearray(b"ab" * 1_000_000))
    if kind == "bytes":
        return pickle.PickleBuffer(b"ab" * 1_000_000)
    numpy = pytest.importorskip("numpy")
    if kind.startswith("numpy"):
        array = numpy.arange(300_000.0).reshape(300, 1000)
        if kind == "numpy fortran":
            array = numpy.asfortranarray(array)
        array.flags.writeable = kind != "numpy fixed"
        return array
    if kind == "arrow":
        pyarrow = pytest.importorskip("pyarrow")
        return pyarrow.table({"n": list(range(200_000)), "t": ["xy", None] * 100_000})
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"n": numpy.arange(200_000), "x": numpy.arange(200_000) / 7})
    if kind == "pandas arrow":
        pytest.importorskip("pyarrow")
        frame["t"] = pandas.array(["xy", None] * 100_000, dtype="string[pyarrow]")
    return frame


def same(one: Any, other: Any) -> bool:
    if isinstance(one, pickle.PickleBuffer):
        view, seen = memoryview(one), memoryview(other)
        return view.readonly == seen.readonly and view == seen
    if hasattr(one, "strides"):
        alike = one.flags.writeable == other.flags.writeable and one.strides == other.strides
        return bool(alike and one.dtype == other.dtype and (one == other).all())
    return bool(one.equals(other))


def answer(kind: str, back: Any, there: Any) -> None:
    """In a child: say whether what came is what is made here, and send it back."""
    for _ in range(2):
        got = there()
        if not same(make(kind), got):
            raise SystemExit(3)
        back(pickle.PickleBuffer(got) if isinstance(got, memoryview) else got)


def check_and_return(kind: str, got: Any) -> Any:
    if not same(make(kind), got):
        raise ValueError("it came otherwise than it was sent")
    return pickle.PickleBuffer(got) if isinstance(got, memoryview) else got


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("carrier", CARRIERS)
def test_there_and_back(carrier: str, kind: str) -> None:
    obj = make(kind)
    if carrier == "pool":
        with procession.Pool(1) as pool:
            for _ in range(2):
                assert same(obj, pool.apply(check_and_return, (kind, obj)))
        return
    if carrier == "manager":
        with procession.Manager() as manager:
            items = manager.list([obj])
            items.append(items[0])
            assert same(obj, items[0]) and same(obj, items[1])
        return
    if carrier == "pipe":
        here, there = procession.Pipe()
        put, get, back, taken = here.send, here.recv, there.send, there.recv
    else:
        make_queue = procession.Queue if carrier == "queue" else procession.SimpleQueue
        one, other = make_queue(), make_queue()
        put, get, back, taken = one.put, other.get, other.put, one.get
    child = procession.get_context("fork").Process(target=answer, args=(kind, back, taken))
    child.start()
    for _ in range(2):
        put(obj)
        assert same(obj, get())
    child.join()
    assert child.exitcode == 0
