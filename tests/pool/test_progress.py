"""``progress=``: told in order, to the end, and before the result."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from typing import Any

import pytest

from . import tasks


def test_progress(any_pool: Any) -> None:
    for chunksize in (1, 3):
        for _ in range(10):
            told: list[tuple[int, int]] = []
            any_pool.map(
                tasks.square, range(10), chunksize, progress=lambda done, total: told.append((done, total))
            )
            # The last call comes before the result.
            assert told[-1] == (10, 10)
            assert told == sorted(told)
    told = []
    any_pool.map(tasks.square, [], progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 0)]


@pytest.mark.parametrize("chunksize", [1, 3])
def test_progress_of_imap(any_pool: Any, chunksize: int) -> None:
    for source, total in ((range(10), 10), (iter(range(10)), None)):
        told: list[tuple[int, int | None]] = []
        results = any_pool.imap(
            tasks.square, source, chunksize, progress=lambda done, total: told.append((done, total))
        )
        assert list(results) == [x * x for x in range(10)]
        assert told[-1] == (10, total)


def test_progress_is_told_though_nobody_waits(any_pool: Any) -> None:
    complete = threading.Event()

    def tell(done: int, total: int) -> None:
        if done == total:
            complete.set()

    result = any_pool.map_async(tasks.square, range(10), 1, progress=tell)
    assert complete.wait(20)
    assert result.get(20) == [x * x for x in range(10)]


def test_progress_of_what_fails_and_a_teller_that_raises(
    any_pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.unraisablehook", lambda report: None)
    with pytest.raises(ValueError):
        any_pool.map(tasks.raise_value, range(4), 1, progress=lambda done, total: 1 / 0)
    assert any_pool.apply(tasks.square, (3,)) == 9


@pytest.mark.parametrize("method", ["map", "imap", "imap_unordered"])
@pytest.mark.parametrize("counted", [True, False])
def test_a_bar(any_pool: Any, method: str, counted: bool, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    items: Iterable[int] = range(10) if counted else iter(range(10))
    assert sum(getattr(any_pool, method)(tasks.square, items, 3, progress=True)) == 285
    any_pool.close()
    any_pool.join()  # what came last is told by then
    shown = capsys.readouterr().err
    assert ("10/10" if counted or method == "map" else "10it") in shown
    assert shown.endswith("\n")  # it is closed: what follows has a line of its own


def test_a_bar_needs_tqdm(any_pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ImportError, match="progress=True needs tqdm; install it, or give a callable"):
        any_pool.map(tasks.square, range(3), progress=True)


def test_what_is_no_progress(any_pool: Any) -> None:
    with pytest.raises(TypeError, match="progress must be True or a callable that takes .*, not 'bar'"):
        any_pool.imap(tasks.square, range(3), progress="bar")
    assert any_pool.map(tasks.square, range(3), progress=False) == [0, 1, 4]
