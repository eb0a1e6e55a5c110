"""What starting and ending processes tells the arena; nothing where the C core is not there."""

from __future__ import annotations

import os

import procession_native
from procession_core import at_end, runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Slot = tuple[int, int]
    ArenaTicket = tuple[int, int, int, int]

core: Any = procession_native.core

note_forked: Callable[[int], bool] | None = None if core is None else core.forked
"""What :func:`forked` calls; False: the child has no part in the shared memory."""


def reserve(name: str) -> Slot | None:
    """Make the arena if need be and reserve the registry slot of a child that is about to be started."""
    if core is None:
        return None
    prepare_fork()
    slot: Slot = core.reserve_slot(name)
    return slot


def cancel(slot: Slot | None) -> None:
    """Give a reserved slot back, and what it holds, because the child could not be started."""
    if slot is not None:
        core.cancel_slot(*slot)


def started(slot: Slot | None, pid: int) -> None:
    """Write who the child of a reserved slot is, so that its death is noticed also before it attaches."""
    if slot is not None:
        core.child_started(slot[0], slot[1], pid)


def forked(pid: int) -> None:
    """After ``os.fork()``, in the parent: write who the child is, as :func:`started` does it.

    Raises MemoryError if there was no slot or no shared memory for it; it has ended then, see :func:`is_severed`.
    """
    if note_forked is not None and not note_forked(pid):
        raise no_part(pid)


def no_part(pid: int) -> MemoryError:
    """Wait for the child that has no part in the shared memory, and return what is to be raised."""
    os.waitpid(pid, 0)
    return MemoryError(
        "the child could not be given the shared objects of its parent: no shared memory is left within the "
        "limits of this process tree (see procession.memory() and set_memory_limit()), or no slot for another one"
    )


def is_severed() -> bool:
    """In a forked child, before anything else: whether it has no part in the shared memory and should end."""
    return core is not None and core.severed()


def hold(slot: Slot | None, shared: object) -> None:
    """Let the child's slot take a reference on a shared object that its arguments name."""
    if slot is not None:
        core.slot_hold(slot[0], slot[1], shared)


def prepare_fork() -> None:
    """Before a fork: make the arena, so that what the child creates can be sent to the whole tree."""
    if core is not None and not core.attached():
        core.ensure()
        core.set_name(runtime.name)


begin_child: Callable[[str, bool], bool] | None = None if core is None else core.begin_child
"""In a forked child: write its name into the registry; if asked to, let descriptor 0 read nothing. False: see
:func:`is_severed`.
"""


def arena_fds() -> tuple[int, ...]:
    """The descriptors that a child which is not a fork needs for the arena."""
    return () if core is None else tuple(core.fds())


def ticket(slot: Slot | None) -> ArenaTicket | None:
    """What a child that is not a fork needs to attach, once ``arena_fds()`` are inherited."""
    if slot is None:
        return None
    arena_fd, lease_fd = core.fds()
    return arena_fd, lease_fd, slot[0], slot[1]


def attach(given: ArenaTicket | None) -> None:
    """In a child that is not a fork: attach to the arena of the tree."""
    if given is not None and core is not None:
        core.attach(*given)


def settle() -> None:
    """In a child whose arguments are unpickled: give back the references that came with them and were not
    taken.
    """
    if core is not None and core.attached():
        core.settle()


def next_fork_uses(slot: Slot | None) -> None:
    """In the zygote: the coming fork becomes *slot*."""
    if slot is not None and core is not None:
        core.next_fork_uses(*slot)


def move(slot: Slot | None) -> None:
    """In a child that was forked ahead: become the process that *slot* was reserved for."""
    if slot is not None and core is not None:
        core.move(*slot)


def note_exit(pid: int, status: int) -> None:
    """After a child's end: its slot is dead, and what it held is given back now."""
    if core is not None and core.attached():
        core.note_exit(pid, status)


def set_exit_status(slot: Slot | None, status: int) -> None:
    """In the zygote: write how a child ended where every process of the tree can read it."""
    if slot is not None and core is not None:
        core.set_exit_status(slot[0], slot[1], status)


def leave() -> None:
    """At the end of a process that does not run ``exit_function()``: the last of the tree removes tracked segments."""
    if core is not None:
        core.names_leave()


if core is not None:
    at_end(core.names_leave)
