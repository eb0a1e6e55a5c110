"""Timeouts become absolute points of the monotonic clock as soon as they enter the library."""

from __future__ import annotations

from time import monotonic


def check_timeout(value: object) -> float | None:
    """Return *value* (seconds, or None for ever) as a float.

    Raises TypeError for what is not a number and ValueError for NaN.
    """
    if value is None:
        return None
    if isinstance(value, (str, bytes)):
        raise TypeError(f"timeout must be a number of seconds or None, not {value!r}")
    try:
        seconds = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise TypeError(f"timeout must be a number of seconds or None, not {value!r}") from None
    if seconds != seconds:
        raise ValueError("timeout must be a number of seconds or None, not NaN")
    return seconds


def deadline_after(timeout: float | None) -> float | None:
    """Return the monotonic time *timeout* seconds from now; None stays None, a negative timeout means now."""
    if timeout is None:
        return None
    return monotonic() + (timeout if timeout > 0 else 0.0)


def remaining(deadline: float | None) -> float | None:
    """Return the seconds left until *deadline*, never negative; None for no deadline."""
    if deadline is None:
        return None
    left = deadline - monotonic()
    return left if left > 0 else 0.0
