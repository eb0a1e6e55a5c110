"""The connection to Dask: who runs the scheduler, and what an error of Dask means to a user of a pool."""

from __future__ import annotations

from procession_core import NotSupportedError, ServerDiedError, WorkerDiedError
from procession_pool import CancelledError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def dask() -> Any:
    """Return the module ``distributed``; NotSupportedError where it is not installed."""
    try:
        import distributed
    except ImportError as error:
        raise NotSupportedError(
            "the 'dask' context needs the package distributed: pip install procession-cluster[dask]"
        ) from error
    return distributed


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
            settings = {"threads_per_worker": 1, "processes": True, "dashboard_address": None, **options}
            self.cluster = distributed.LocalCluster(**settings)
            self.client = distributed.Client(self.cluster, set_as_default=False)
        else:
            self.client = distributed.Client(address, security=security, set_as_default=False, **options)

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
        return max(1, sum(int(n) for n in self.client.nthreads().values()))

    def translate(self, error: BaseException, task: object) -> BaseException:
        """Return what a pool's user gets for an error of the engine (not of the task)."""
        name = type(error).__name__
        if name == "KilledWorker":
            return WorkerDiedError(f"{task} killed every worker that ran it: {error}", task=task)
        if name in ("CancelledError", "FutureCancelledError", "FuturesCancelledError"):
            if self.alive:
                return CancelledError(f"{task} was cancelled")
            return ServerDiedError(f"the Dask scheduler is gone; {task} is lost")
        if name in ("CommClosedError", "ClosedClientError") or (
            isinstance(error, OSError) and not self.alive
        ):
            return ServerDiedError(f"the Dask scheduler is gone; {task} is lost")
        return error

    def close(self) -> None:
        """Disconnect; end the local cluster if it is ours."""
        if self.owns_client:
            self.client.close()
        if self.cluster is not None:
            self.cluster.close()
