"""Which variant the environment asks for: the C core or the portable one."""

from __future__ import annotations

import os

VARIABLE = "PROCESSION_NATIVE"
_WISHES = ("", "0", "1", "auto", "require")


def wish() -> str:
    """Return the value of ``PROCESSION_NATIVE``: "0", "require", or "auto" for all that takes the core if
    built.

    Raises ValueError for any other value.
    """
    value = os.environ.get(VARIABLE, "")
    if value not in _WISHES:
        raise ValueError(
            f"{VARIABLE}={value!r} is not one of {', '.join(map(repr, _WISHES))}; unset it for the default"
        )
    return "auto" if value in ("", "1") else value


def native_requested() -> bool:
    """Say whether the C core is to be used where it is built. Raises ValueError as ``wish()`` does."""
    return wish() != "0"
