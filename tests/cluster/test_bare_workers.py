"""Workers that have Dask and cloudpickle, and no procession: the pool needs none there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from procession_cluster import ClusterContext
from procession_pool import RemoteTraceback, TaskTimeoutError

from .conftest import Cluster

BARE = """
import sys

class NoProcession:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0].startswith("procession"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NoProcession())
"""


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("bare")
    (folder / "sitecustomize.py").write_text(BARE)
    made = Cluster(folder, 1, path=str(folder))
    with ClusterContext(made.address) as context, context.Pool() as pool:
        yield pool
    made.close()


def test_there_is_no_procession(pool: Any) -> None:
    def has_procession() -> bool:
        try:
            import procession_core  # noqa: F401
        except ImportError:
            return False
        return True

    assert pool.apply(has_procession) is False


def test_maps_and_errors(pool: Any) -> None:
    assert pool.map(lambda x: x * x, range(50)) == [x * x for x in range(50)]
    assert pool.map(lambda x: x + 1, range(50), chunksize=1) == list(range(1, 51))
    assert list(pool.imap(lambda x: -x, range(20))) == [-x for x in range(20)]
    with pytest.raises(ZeroDivisionError) as caught:
        pool.apply(lambda: 1 / 0)
    assert isinstance(caught.value.__cause__, RemoteTraceback)


def test_limits(pool: Any) -> None:
    def spin() -> str:
        import time

        end = time.monotonic() + 20
        try:
            while time.monotonic() < end:
                pass
        except TimeoutError:
            return "cleaned up"
        return "not interrupted"

    assert pool.apply_async(spin, soft_timeout=0.2).get(60) == "cleaned up"
    with pytest.raises(TaskTimeoutError):
        pool.apply_async(spin, timeout=0.2).get(60)
    assert pool.apply_async(lambda: 7, retries=2).get(60) == 7
