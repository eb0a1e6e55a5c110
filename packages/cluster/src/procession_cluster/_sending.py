"""Functions of ours as bytes that a worker without procession can run.

Dask pickles by reference whatever can be imported where it is sent from, so a function of this package as a task's
function would need the package on the scheduler and on every worker.
"""

from __future__ import annotations

import operator
import pickle
import uuid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class _Loaded:
    """Is pickled as what loading the bytes gives."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __reduce__(self) -> tuple[Any, ...]:
        return pickle.loads, (self._data,)


class _Called:
    """Is pickled as the result of a call."""

    def __init__(self, *call: Any) -> None:
        self._call = call

    def __reduce__(self) -> tuple[Any, ...]:
        return operator.call, self._call


_by_value: dict[Any, bytes] = {}


def submit(client: Any, name: str, function: Callable[..., Any], *args: Any) -> Any:
    """Run ``function(*args)``, a function of ``_remote`` and arguments of built-in types, as a task; its future.

    *name* is what Dask's dashboard shows. The task loads a pickle, and that is the call.
    """
    if function not in _by_value:
        import cloudpickle

        _by_value[function] = cloudpickle.dumps(function)
    work = pickle.dumps(_Called(_Loaded(_by_value[function]), *args), 5)
    return client.submit(pickle.loads, work, key=f"{name}-{uuid.uuid4().hex}", pure=False)
