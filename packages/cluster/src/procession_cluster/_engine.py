"""The connection to Dask: who runs the scheduler, and what an error of Dask means to a user of a pool."""

from __future__ import annotations

from contextlib import suppress

from procession_core import NotSupportedError, ServerDiedError, WorkerDiedError
from procession_pool import CancelledError

from ._collector import Collector

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._results import Job


def dask() -> Any:
    """Return the module ``distributed``; NotSupportedError where it is not installed."""
    try:
        import distributed
    except ImportError as error:
        raise NotSupportedError(
            "the 'dask' context needs the package distributed: pip install procession-cluster[dask]"
        ) from error
    return distributed


def _connect(client_class: Any, address: Any, **options: Any) -> Any:
    """Return a client. Raises what its constructor raises, and leaves nothing of it behind then.

    Left alone, a client that could not connect keeps its thread; and some are closed only by the garbage collector,
    which hung for ever when it ran in the constructor of the next client: that holds the lock that closing takes.
    """
    client = client_class.__new__(client_class)
    try:
        client.__init__(address, set_as_default=False, **options)
    except BaseException:
        with suppress(Exception):
            client.close(timeout=1)
        # Not done by close() where the client has noticed itself that it failed.
        with suppress(Exception):
            client._loop_runner.stop()
        raise
    return client


class Engine:
    """A Dask client, and the local cluster that was started for it, if any."""

    def __init__(self, address: Any, security: Any, options: dict[str, Any]) -> None:
        distributed = dask()
        import cloudpickle

        from . import _remote

        cloudpickle.register_pickle_by_value(_remote)
        self.owns_client = not isinstance(address, distributed.Client)
        self.cluster: Any = None
        if not self.owns_client:
            self.client = address
        elif address is None:
            # Port 0: a dashboard at the usual port would warn when another program has one there.
            settings = {"threads_per_worker": 1, "processes": True, "dashboard_address": ":0", **options}
            if security is not None:
                settings["security"] = security
            self.cluster = distributed.LocalCluster(**settings)
            try:
                self.client = _connect(distributed.Client, self.cluster)
            except BaseException:
                self.cluster.close()
                raise
        else:
            try:
                self.client = _connect(distributed.Client, address, security=security, **options)
            except (OSError, TypeError) as error:  # TypeError: an address of tls:// and no security
                error.add_note(
                    f"no Dask scheduler answers this program at {address!r}: start one "
                    "(`dask scheduler`), or pass security=distributed.Security(...) if it speaks TLS"
                )
                raise
        self.collector = Collector(self.client)

    @property
    def alive(self) -> bool:
        """Whether the scheduler can be reached."""
        return bool(self.client.status == "running")

    def check(self) -> None:
        """Raise ServerDiedError if the scheduler is gone."""
        if not self.alive:
            raise ServerDiedError(
                f"the connection to the Dask scheduler is lost (client status {self.client.status!r}); results that "
                "had not arrived are lost, make a new context once the scheduler runs again"
            )

    def threads(self) -> int:
        """Return how many tasks the cluster runs at a time."""
        self.check()
        return max(1, sum(int(n) for n in self.client.nthreads().values()))

    def begun(self, futures: list[Any]) -> bool:
        """Return whether a worker runs one of these tasks now."""
        stacks = self.client.call_stack(futures=futures)
        return any(stacks.values())

    def abandon(self, job: Job) -> None:
        """Nobody wants the results of this job: drop what has not begun."""
        job._abort(CancelledError("nobody waits for the result"))

    def translate(self, error: BaseException, task: object) -> BaseException:
        """Return what a pool's user gets for an error of the engine (not of the task)."""
        name = type(error).__name__
        if name == "KilledWorker":
            return WorkerDiedError(
                f"{task} killed every worker that ran it ({error}); it is not run again. Run it in a process of your "
                "own to see why: out of memory, a crash in C code, os._exit()",
                task=task,
            )
        gone = ServerDiedError(
            f"the Dask scheduler is gone; {task} is lost, make a new context once the scheduler runs again"
        )
        if name in ("CancelledError", "FutureCancelledError", "FuturesCancelledError"):
            return CancelledError(f"{task} was cancelled") if self.alive else gone
        if name in ("CommClosedError", "ClosedClientError") or (
            isinstance(error, OSError) and not self.alive
        ):
            return gone
        return error

    def close(self) -> None:
        """Disconnect; end the local cluster if it is ours."""
        self.collector.stop()
        if self.owns_client:
            # Dask would wait long for the answer of a scheduler that is gone.
            self.client.close(*(() if self.alive else (1,)))
        if self.cluster is not None:
            self.cluster.close()
