"""The program's common pool."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from procession_pool import get_reusable_pool

from . import tasks


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    yield
    pool = get_reusable_pool(1)
    pool.terminate()
    pool.join()


def test_a_size_of_zero_is_refused_at_the_first_call_too() -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="at least 1"):
            get_reusable_pool(0)
        assert get_reusable_pool(2).apply(tasks.square, (3,)) == 9


@pytest.mark.linux_only
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_has_its_own() -> None:
    mine = get_reusable_pool(1)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            own = get_reusable_pool(1)
            if own is not mine and own is get_reusable_pool() and own.apply(tasks.square, (3,)) == 9:
                code = 0
            own.terminate()
            own.join()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert get_reusable_pool() is mine and mine.apply(tasks.square, (4,)) == 16
