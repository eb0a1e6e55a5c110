"""Addresses: which family one belongs to, arbitrary ones, long paths."""

from __future__ import annotations

import os
import sys

from procession_core import Finalize

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

if sys.platform == "win32":
    families = ["AF_INET", "AF_PIPE"]
    default_family = "AF_PIPE"
else:
    families = ["AF_INET", "AF_UNIX"]
    default_family = "AF_UNIX"

_KNOWN = ("AF_INET", "AF_INET6", "AF_UNIX", "AF_PIPE")
_PATH_LIMIT = 107 if sys.platform.startswith("linux") else 103
"""The bytes of a path that fit into a socket address."""


def address_type(address: Any) -> str:
    """Return the family of *address*: AF_INET, AF_INET6, AF_UNIX or AF_PIPE.

    A tuple is an internet address (version 6 if its host has a colon), a string with two leading backslashes
    a Windows pipe, any other string or bytes a path. Raises TypeError for anything else.
    """
    if type(address) is tuple:
        if len(address) == 4 or (address and isinstance(address[0], str) and ":" in address[0]):
            return "AF_INET6"
        return "AF_INET"
    if type(address) is str and address.startswith("\\\\"):
        return "AF_PIPE"
    if type(address) is str or isinstance(address, (bytes, os.PathLike)):
        return "AF_UNIX"
    raise TypeError(
        f"address type of {address!r} unrecognized: give (host, port), a path or a Windows pipe's name"
    )


def check_family(family: str) -> None:
    """Raise ValueError if this platform does not have *family*."""
    if family not in _KNOWN:
        raise ValueError(f"unrecognized family {family!r}; this platform has {families} and AF_INET6")
    if (family == "AF_PIPE") != (sys.platform == "win32") and family in ("AF_PIPE", "AF_UNIX"):
        raise ValueError(f"Family {family} is not recognized. This platform has {families} and AF_INET6.")


def arbitrary_address(family: str) -> Any:
    """Return a free address of *family*: port 0 of this machine, or a new path in a private directory.

    Raises ValueError for an unknown family.
    """
    if family == "AF_INET":
        return ("localhost", 0)
    if family == "AF_INET6":
        return ("::1", 0)
    if family == "AF_UNIX":
        return os.path.join(private_directory(), f"listener-{os.urandom(6).hex()}")
    if family == "AF_PIPE":
        return rf"\\.\pipe\procession-{os.getpid()}-{os.urandom(8).hex()}"
    raise ValueError(f"unrecognized family {family!r}; this platform has {families} and AF_INET6")


# ---- the private directory ---------------------------------------------------------------------------------

_directory: tuple[int, str] | None = None


def private_directory() -> str:
    """Return a directory that only this user can enter, made at the first call and removed at exit.

    Raises OSError if none can be made.
    """
    global _directory
    pid = os.getpid()
    if _directory is not None and _directory[0] == pid and os.path.isdir(_directory[1]):
        return _directory[1]
    import tempfile

    path = tempfile.mkdtemp(prefix="procession-")
    if len(os.fsencode(path)) > _PATH_LIMIT - 24:
        # CPython's package cannot reach a long path, so a short one is better where there is one.
        try:
            short = tempfile.mkdtemp(prefix="procession-", dir="/tmp")
        except OSError:
            pass
        else:
            os.rmdir(path)
            path = short
    _directory = (pid, path)
    Finalize(None, _remove_directory, (path,), exitpriority=-100)
    return path


def _remove_directory(path: str) -> None:
    try:
        names = os.listdir(path)
    except OSError:
        return
    for name in names:
        try:
            os.unlink(os.path.join(path, name))
        except OSError:
            pass
    try:
        os.rmdir(path)
    except OSError:
        pass


def fits(address: Any) -> bool:
    """Say whether *address* is short enough for a socket address, as nearly all are."""
    kind = type(address)
    return kind is tuple or (kind is str and len(address) <= _PATH_LIMIT and address.isascii())


_PACKETS = "/packets-"
"""In the paths of listeners that have a second socket, whose path is the same and ``_BESIDE``."""
_BESIDE = ".p"


def with_packets() -> str:
    """Return a free path whose name tells this library's clients to look for the socket for packets beside it."""
    return f"{private_directory()}{_PACKETS}{os.urandom(6).hex()}"


def packets_beside(address: Any) -> str | None:
    """Return the path of the socket for packets that may be beside *address*, None where there is none."""
    if type(address) is str and _PACKETS in address and fits(address + _BESIDE):
        return address + _BESIDE
    return None


class reachable:
    """Context manager: a form of *address* that fits into a socket address.

    A long path is reached through a descriptor of its directory (Linux), or through a short symbolic link.
    Raises OSError if the directory does not exist or the last part alone is too long.
    """

    def __init__(self, address: Any) -> None:
        self._address = address
        self._fd = -1
        self._link = ""

    def __enter__(self) -> Any:
        address = self._address
        if not isinstance(address, (str, bytes)) or len(address) == 0 or address[:1] in ("\0", b"\0"):
            return address
        path = os.fsencode(address)
        if len(path) <= _PATH_LIMIT:
            return address
        directory, name = os.path.split(path)
        if sys.platform.startswith("linux") and os.path.isdir("/proc/self/fd"):
            self._fd = os.open(directory or b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            short = b"/proc/self/fd/%d/%s" % (self._fd, name)
        else:
            import tempfile

            self._link = tempfile.mkdtemp(prefix="p-", dir="/tmp")
            os.symlink(os.path.abspath(directory or b"."), os.path.join(self._link, "d").encode())
            short = os.fsencode(self._link) + b"/d/" + name
        if len(short) > _PATH_LIMIT:
            self.__exit__(None, None, None)
            raise OSError(
                f"AF_UNIX path too long: the name {name!r} alone exceeds what a socket address holds"
            )
        return short

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._link:
            os.unlink(os.path.join(self._link, "d"))
            os.rmdir(self._link)
            self._link = ""
