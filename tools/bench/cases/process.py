"""process.*: start and join of processes that do nothing."""

from __future__ import annotations

import sys
from time import perf_counter

from bench import child
from bench._load import module
from bench._measure import Sample, Scale, case, check, each

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# The targets are functions of the program's main module, as most programs' are. In a module that only the child's
# unpickling imports, every row would measure that import.
program = sys.modules["__main__"] if hasattr(sys.modules["__main__"], "SPOKEN") else child


def _prove(context: Any) -> None:
    process = context.Process(target=program.speak)
    process.start()
    process.join()
    check(process.exitcode == program.SPOKEN, f"the target did not run: exit code {process.exitcode}")


def _one(context: Any) -> float:
    process = context.Process(target=program.noop)
    began = perf_counter()
    process.start()
    process.join()
    seconds = perf_counter() - began
    check(process.exitcode == 0, f"exit code {process.exitcode}")
    return seconds


def _start_join(context: Any, times: int) -> Sample:
    _prove(context)
    _one(context)
    return Sample(each(lambda: _one(context), times) * 1e3, "ms")


@case("process.fork")
def fork(mp: Any, scale: Scale) -> Sample:
    """Start and join by fork."""
    return _start_join(mp.get_context("fork"), scale.pick(100, 25))


@case("process.fork.modules")
def fork_modules(mp: Any, scale: Scale) -> Sample:
    """The same from a parent with the modules of a larger program, some of which have handlers after a fork."""
    for name in ("argparse", "asyncio", "json", "random", "tempfile", "urllib.request"):
        module(name)
    return _start_join(mp.get_context("fork"), scale.pick(100, 25))


@case("process.fork.512m")
def fork_large(mp: Any, scale: Scale) -> Sample:
    """The same from a parent with 512 MB of touched memory."""
    size = 512 << 20
    memory = bytearray(size)
    memory[::4096] = b"\x01" * (size // 4096)
    sample = _start_join(mp.get_context("fork"), scale.pick(15, 5))
    check(memory[-4096] == 1, "the memory has changed")
    return sample


@case("process.spawn")
def spawn(mp: Any, scale: Scale) -> Sample:
    """Start and join by spawn."""
    return _start_join(mp.get_context("spawn"), scale.pick(10, 3))


@case("process.forkserver")
def forkserver(mp: Any, scale: Scale) -> Sample:
    """Start and join through a forkserver that is up."""
    return _start_join(mp.get_context("forkserver"), scale.pick(20, 7))


@case("process.forkserver.cold")
def forkserver_cold(mp: Any, scale: Scale) -> Sample:
    """The first start and join through a forkserver, which starts it."""
    context = mp.get_context("forkserver")
    seconds = _one(context)
    _prove(context)
    return Sample(seconds * 1e3, "ms")


@case("process.burst16")
def burst(mp: Any, scale: Scale) -> Sample:
    """Start 16 by fork, then join all."""
    context = mp.get_context("fork")

    def action() -> float:
        processes = [context.Process(target=program.noop) for _ in range(16)]
        began = perf_counter()
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        seconds = perf_counter() - began
        check(all(process.exitcode == 0 for process in processes), "a process failed")
        return seconds

    _prove(context)
    action()
    return Sample(each(action, scale.pick(12, 4)) * 1e3, "ms")
