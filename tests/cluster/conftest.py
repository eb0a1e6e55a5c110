"""A real scheduler and real workers on the loopback interface, shared by the tests of a module."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
try:
    import distributed
except ImportError:  # tox -e cluster installs it
    distributed = None
    collect_ignore_glob = ["test_[!w]*.py"]

_SAMPLE = 75.0
_began = time.monotonic()


@pytest.fixture(autouse=True)
def _bounded_sample(sample: bool) -> None:
    """With --sample the run ends about so many seconds after its beginning."""
    if sample and time.monotonic() - _began > _SAMPLE:
        pytest.skip(f"the {_SAMPLE:.0f} s of a sample are over")


class Cluster:
    """``dask scheduler`` and ``dask worker`` as processes of their own."""

    def __init__(
        self, folder: Path, workers: int = 2, tls: tuple[str, ...] = (), security: Any = None, path: str = ""
    ) -> None:
        self.path = path  # what comes first on the path of scheduler and workers
        self.file = folder / "scheduler.json"
        self.members: list[subprocess.Popen[bytes]] = []
        self._run(
            "scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--no-dashboard",
            "--scheduler-file",
            str(self.file),
            *tls,
            *(("--protocol", "tls") if tls else ()),
        )
        for number in range(workers):
            self._run(
                "worker", "--scheduler-file", str(self.file), "--nthreads", "1", "--no-dashboard",
                "--host", "127.0.0.1", "--name", f"w{number}",
                "--nanny", "--local-directory", str(folder / f"w{number}"), *tls
            )  # fmt: skip
        eventually(self.file.exists, 60)
        self.client = distributed.Client(
            scheduler_file=str(self.file), set_as_default=False, timeout=60, security=security
        )
        self.client.wait_for_workers(workers, timeout=60)
        self.address = self.client.scheduler.address

    def _run(self, *command: str) -> None:
        self.members.append(
            subprocess.Popen(
                [sys.executable, "-m", "dask", *command],
                start_new_session=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=ROOT,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(filter(None, [self.path, str(ROOT), *sys.path])),
                },
            )
        )

    def kill_scheduler(self) -> None:
        self.members[0].kill()
        self.members[0].wait()

    def close(self) -> None:
        # Each is a group of its own, nanny and worker. Asked to end, they take many seconds.
        for member in self.members:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(member.pid, signal.SIGKILL)
            member.wait()
        self.client.close(timeout=1)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def ctx(cluster: Cluster) -> Iterator[Any]:
    from procession_cluster import ClusterContext

    with ClusterContext(cluster.address) as context:
        yield context


def eventually(condition: Any, seconds: float = 30.0) -> None:
    """Wait until condition() holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail("the condition did not come true")
        time.sleep(0.02)
