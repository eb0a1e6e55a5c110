"""Linux: shm_open() is open() in /dev/shm, for the C library too, so its names are ours and ours are its."""

from __future__ import annotations

import errno
import os
import sys

if sys.platform == "win32":
    raise ImportError("procession_shm._segment._linux needs POSIX")


from .._mapping import map_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._mapping import Mapped

PREFIX = "/prc_"
LEADING_SLASH = True
_FOLDER = "/dev/shm/"


def _path(name: str) -> str:
    # The rule of shm_open(3): leading slashes are one, and no other slash.
    bare = name.lstrip("/")
    if "\0" in bare:
        raise ValueError(f"embedded null character in the name {name!r}")
    if not bare or "/" in bare or len(os.fsencode(bare)) > 255 or bare in (".", ".."):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), name)
    return _FOLDER + bare


def open_segment(name: str, flags: int, mode: int, size: int) -> tuple[Mapped, int]:
    """See the folder's ``__init__``."""
    path = _path(name)
    try:
        fd = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    except OSError as error:
        error.filename = name
        raise
    try:
        try:
            if size:
                _check_room(fd, size)
                os.ftruncate(fd, size)
            else:
                size = os.fstat(fd).st_size
            return map_file(fd, size), size
        except BaseException:
            if flags & os.O_EXCL:
                os.unlink(path)
            raise
    finally:
        os.close(fd)


def _check_room(fd: int, size: int) -> None:
    # A page of a full tmpfs is a SIGBUS in the process that touches it: containers have 64 MB of /dev/shm.
    room = os.fstatvfs(fd)
    if room.f_blocks and size > room.f_bavail * room.f_frsize:
        free = room.f_bavail * room.f_frsize
        raise OSError(
            errno.ENOSPC,
            f"No space left on device: {size} bytes of shared memory asked for, {free} are free in "
            f"{_FOLDER[:-1]}; unlink what is not needed or mount a larger one (docker run --shm-size)",
        )


def remove_segment(name: str) -> None:
    """See the folder's ``__init__``."""
    path = _path(name)
    try:
        os.unlink(path)
    except OSError as error:
        error.filename = name
        raise


def list_segments() -> list[str]:
    """See the folder's ``__init__``."""
    try:
        names = os.listdir(_FOLDER)
    except FileNotFoundError:
        return []
    return sorted(names)


def unmapped_segments(names: list[str]) -> list[str]:
    """See the folder's ``__init__``. Processes of other users are not seen without privileges."""
    # One pass over the processes, however many names: each of their lists takes long to read.
    wanted: dict[bytes, list[str]] = {}
    for name in names:
        try:
            found = os.stat(_path(name))
        except FileNotFoundError:
            continue
        device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
        wanted.setdefault(f"{device} {found.st_ino}".encode(), []).append(name)
    for entry in os.listdir("/proc"):
        if entry.isdigit() and wanted:
            try:
                with open(f"/proc/{entry}/maps", "rb") as maps:  # a mapped file's name may be in any encoding
                    for line in maps:
                        wanted.pop(b" ".join(line.split(None, 5)[3:5]), None)
            except OSError:  # ended meanwhile, or another user's
                continue
    return [name for group in wanted.values() for name in group]
