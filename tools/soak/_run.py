"""Run every unit at once for a while, then count what was lost and what was left behind.

Usage: ``python -m tools.soak [--minutes N] [--seed N] [--units A,B]``

The time is 30 minutes, or PROCESSION_SOAK_MINUTES. The last line has the figures, and the status is 1 unless nothing
was lost and nothing leaked. The seed decides what is tried; what the machine makes of it is another matter.
"""

from __future__ import annotations

import argparse
import gc
import os
import time
from typing import Any

import procession
import procession_native

from ._children import end_with
from ._tally import PATIENCE
from ._units import UNITS, run_unit

MARK = "PROCESSION_SOAK_RUN"


def _marked() -> list[str]:
    """The processes, other than this one, that inherited this run's mark."""
    mark = f"{MARK}={os.environ[MARK]}".encode()
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if mark not in file.read().split(b"\0"):
                    continue
            with open(f"/proc/{name}/cmdline", "rb") as file:
                found.append(f"{name} {file.read().replace(bytes(1), b' ').decode(errors='replace')[:100]}")
        except OSError:
            continue
    return found


def _holdings() -> dict[str, int]:
    """What this process and its tree hold."""
    gc.collect()
    core: Any = procession_native.core
    held = {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
        "processes": len(_marked()),
        "children": len(procession.active_children()),
    }
    if core is not None:
        core.sweep()
        held["registered processes"] = len(core.processes())
        held["tracked names"] = len(core.names_list())
        held["arena bytes"] = core.memory()["used"]
    return held


def _leaks(before: dict[str, int]) -> dict[str, int]:
    """What is held more than before, once it has stopped falling."""
    end = time.monotonic() + 20
    while True:
        now = _holdings()
        more = {name: now[name] - before[name] for name in before if now[name] > before[name]}
        if not more or time.monotonic() > end:
            return more
        time.sleep(0.2)


def _warm_up() -> None:
    # What is made once in a process's life is no leak: the arena, the first chunk of a ledger, the
    # table of names.
    lock = procession.Lock()
    segment = procession.shared_memory.SharedMemory(create=True, size=1)
    segment.close()
    segment.unlink()
    with lock:
        pass
    for method in procession.get_all_start_methods():
        context = procession.get_context(method)
        process = context.Process(target=end_with, args=(0, 0, method, []))
        process.start()
        process.join()
    # It would fork its spare some time after the first count, and the last would find one process more.
    procession.forkserver._forkserver._stop()


def soak(minutes: float, seed: int, names: list[str]) -> int:
    """Run the units; print as they end; return the number of things lost or leaked, and of errors."""
    os.environ[MARK] = f"{os.getpid()}-{seed}"
    _warm_up()
    before = _holdings()
    began = time.monotonic()
    units = []
    for name in names:
        reading, writing = procession.Pipe(duplex=False)
        process = procession.get_context("spawn").Process(
            name=f"soak-{name}", target=run_unit, args=(name, str(seed), minutes * 60, writing)
        )
        process.start()
        writing.close()
        units.append((name, process, reading))
    totals = {"operations": 0, "kills": 0, "lost": 0}
    wrong = 0
    for name, process, reading in units:
        try:
            if not reading.poll(minutes * 60 + 4 * PATIENCE - (time.monotonic() - began)):
                raise EOFError
            _, figures, error = reading.recv()
        except EOFError:
            figures, error = {}, f"no report from {process!r}"
            process.terminate_tree()
        process.join()
        process.close()
        reading.close()
        for key in totals:
            totals[key] += figures.get(key, 0)
        print(f"{name}: {', '.join(f'{key} {value}' for key, value in figures.items())}", flush=True)
        if error:
            wrong += 1
            print(f"{name} FAILED:\n{error}", flush=True)
    del units, process, reading
    leaks = _leaks(before)
    core: Any = procession_native.core
    damage = core.check() if core is not None else None
    for what, number in leaks.items():
        print(f"leaked: {number} {what}", flush=True)
    if "processes" in leaks:
        print("\n".join(_marked()), flush=True)
    if damage:
        print(f"the heap is damaged: {damage}", flush=True)
    print(
        f"soak of {time.monotonic() - began:.0f} s, seed {seed}: operations {totals['operations']}, "
        f"kills {totals['kills']}, lost {totals['lost']}, leaked {len(leaks)}",
        flush=True,
    )
    return totals["lost"] + len(leaks) + wrong + bool(damage)


def main(arguments: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="tools.soak", description=(__doc__ or "").partition("\n")[0])
    minutes = float(os.environ.get("PROCESSION_SOAK_MINUTES", "30"))
    parser.add_argument("--minutes", type=float, default=minutes, help=f"how long (default {minutes:g})")
    parser.add_argument("--seed", type=int, default=time.time_ns() // 1000 % 10**9, help="of what is tried")
    parser.add_argument("--units", default=",".join(UNITS), help=f"some of {','.join(UNITS)} (default: all)")
    options = parser.parse_args(arguments)
    names = options.units.split(",")
    unknown = [name for name in names if name not in UNITS]
    if unknown:
        parser.error(f"unknown units {unknown}; there are {sorted(UNITS)}")
    variant = "portable" if procession_native.core is None else "native"
    print(
        f"soak: {variant} variant, seed {options.seed}, {options.minutes:g} minutes, {', '.join(names)}",
        flush=True,
    )
    return 1 if soak(options.minutes, options.seed, names) else 0
