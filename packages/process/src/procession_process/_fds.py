"""Descriptors that travel with the start of a child."""

from __future__ import annotations

_received: list[int] = []


def set_received(fds: list[int]) -> None:
    """In a child: these are the descriptors that came with its start, by index."""
    _received[:] = fds


def received(index: int) -> int:
    """Return the descriptor that was sent as *index*; -1 stays -1. It belongs to the caller from then on."""
    return _received[index] if index >= 0 else -1


class SentFd:
    """What stands for a descriptor in the pickle of a child's arguments."""

    __slots__ = ("_index",)

    def __init__(self, index: int) -> None:
        self._index = index

    def detach(self) -> int:
        """Return the descriptor; the caller closes it. Every sent descriptor can be had once."""
        return received(self._index)

    def __reduce__(self) -> tuple[type[SentFd], tuple[int]]:
        return SentFd, (self._index,)
