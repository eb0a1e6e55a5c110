"""``progress=``: a bar of tqdm, or any callable that is told how far it is.

It is called in the pool's thread, for the last time before the result is shown to anybody.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._iterators import IMapIterator
    from ._results import MapResult


class _Bar:
    """A tqdm bar (the notebook's in a notebook) that follows (done, total)."""

    def __init__(self, total: int | None) -> None:
        try:
            from tqdm.auto import tqdm
        except ImportError:
            raise ImportError(
                "progress=True needs tqdm; install it, or give a callable that is called with (done, total)"
            ) from None
        self._bar = tqdm(total=total)

    def __call__(self, done: int, total: int | None) -> None:
        self._bar.update(done - self._bar.n)
        if done == total:
            self._bar.close()


def reporter(progress: Any, total: int | None) -> Callable[[int, int | None], object]:
    """Return what is to be called with (done, total).

    Raises ImportError if a bar is wanted and tqdm is missing, TypeError for what is neither true nor callable.
    """
    if progress is True:
        return _Bar(total)
    if callable(progress):
        return progress  # type: ignore[no-any-return]
    raise TypeError(f"progress must be True or a callable that takes (done, total), not {progress!r}")


def watch_map(result: MapResult, progress: Any, total: int) -> None:
    """Report the progress of a map; called in the pool's thread."""
    result._progress = reporter(progress, total)


def watch_imap(job: IMapIterator, progress: Any, total: int | None) -> None:
    """Report the progress of an imap; called in the pool's thread."""
    job._progress = reporter(progress, total)
    job._total = total
