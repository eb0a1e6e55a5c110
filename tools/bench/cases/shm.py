"""shm.*: SharedMemory and ShareableList."""

from __future__ import annotations

from typing import Any

from bench._crew import Crew
from bench._load import submodule
from bench._measure import Sample, Scale, case, check, per_call


@case("shm.create4k")
def create(mp: Any, scale: Scale) -> Sample:
    """Create, close and unlink 4 KB."""
    shared_memory = submodule(mp, "shared_memory").SharedMemory

    def loop(n: int) -> None:
        for _ in range(n):
            memory = shared_memory(create=True, size=4096)
            memory.buf[0] = 1
            memory.close()
            memory.unlink()

    return Sample(per_call(loop, scale, start=50) * 1e6, "us")


def _look(shared_memory: Any, name: str) -> list[int]:
    memory = shared_memory(name=name)
    seen = [memory.buf[0], memory.buf[65535]]
    memory.close()
    return seen


@case("shm.attach")
def attach(mp: Any, scale: Scale) -> Sample:
    """Attach by name and close, 64 KB; a child is checked to see the data."""
    shared_memory = submodule(mp, "shared_memory").SharedMemory
    memory = shared_memory(create=True, size=65536)
    try:
        memory.buf[0], memory.buf[65535] = 11, 22

        def loop(n: int) -> None:
            for _ in range(n):
                other = shared_memory(name=memory.name)
                if other.buf[0] != 11:
                    check(False, "attached to other data")
                other.close()

        seconds = per_call(loop, scale, start=50)
        with Crew(mp) as crew:
            crew.add(_look, shared_memory, memory.name)
            check(crew.run()[1] == [[11, 22]], "a child sees other data")
    finally:
        memory.close()
        memory.unlink()
    return Sample(seconds * 1e6, "us")


@case("shm.list.get")
def list_get(mp: Any, scale: Scale) -> Sample:
    """Element reads of a ShareableList of ints, floats and strings."""
    shareable = submodule(mp, "shared_memory").ShareableList([1, 2.5, "three", 4, 5.5, "six"] * 10)
    try:

        def loop(n: int) -> None:
            for _ in range(n // 3):
                found = (shareable[3], shareable[31], shareable[53])
            check(found == (4, 2.5, "six"), f"read {found!r}")

        seconds = per_call(loop, scale, start=999)
    finally:
        shareable.shm.close()
        shareable.shm.unlink()
    return Sample(seconds * 1e9, "ns")
