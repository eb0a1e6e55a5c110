"""Runs the measurements: each in a fresh process and session, interleaved over the implementations."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ._impls import REFERENCE
from ._measure import higher_is_better, median

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ._impls import Implementation

HANG_SECONDS = 60.0
_TOOLS = str(Path(__file__).resolve().parents[1])


class Settings(NamedTuple):
    """What holds for every measurement of a run."""

    repeats: int
    min_seconds: float
    quick: bool
    hang_seconds: float = HANG_SECONDS


class Outcome(NamedTuple):
    """What one implementation did in one case and mode; ``values`` has one entry a repeat."""

    case: str
    mode: str
    implementation: str
    unit: str
    values: list[float]
    extras: dict[str, float]
    ratio: float | None = None
    skipped: str = ""
    failed: str = ""
    traceback: str = ""

    @property
    def median(self) -> float | None:
        """The middle value of the repeats."""
        return median(self.values) if self.values else None


def _environment(implementation: Implementation) -> dict[str, str]:
    environment = dict(os.environ)
    known = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = _TOOLS + (os.pathsep + known if known else "")
    # One thread: what numpy's own threads do is no part of any measurement.
    environment["OPENBLAS_NUM_THREADS"] = environment["OMP_NUM_THREADS"] = "1"
    environment.pop("PROCESSION_NATIVE", None)
    environment.update(implementation.environment)
    return environment


def _ended_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait without reaping, so that the process group's number stays taken until it is killed."""
    if not hasattr(os, "pidfd_open"):
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        return process.returncode is not None
    descriptor = os.pidfd_open(process.pid)
    try:
        waiter = select.poll()
        waiter.register(descriptor, select.POLLIN)
        return bool(waiter.poll(seconds * 1000))
    finally:
        os.close(descriptor)


def measure_once(case: str, implementation: Implementation, mode: str, settings: Settings) -> dict[str, Any]:
    """One measurement in a child; its outcome, or ``{"failed": ...}`` if it crashed or hung."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        out = Path(folder, "out.json")
        errors = Path(folder, "stderr")
        command = [sys.executable, "-m", "bench.child", case, implementation.name, "--out", str(out)]
        command += ["--source", implementation.module, "--adapter", implementation.adapter]
        command += ["--min-seconds", str(settings.min_seconds)]
        command += ["--pinned"] * (mode == "pinned") + ["--quick"] * settings.quick
        with errors.open("wb") as stderr:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                env=_environment(implementation),
                cwd=folder,
                start_new_session=True,
            )
            ended = False
            try:
                ended = _ended_within(process, settings.hang_seconds)
            finally:
                # The whole group, in every case: what a case left running must not disturb the next.
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        said = errors.read_text(errors="replace")[-2000:]
        if not ended:
            return {"failed": f"killed after {settings.hang_seconds:g} s", "traceback": said}
        try:
            outcome: dict[str, Any] = json.loads(out.read_text())
        except (OSError, ValueError):
            return {"failed": f"ended with {process.returncode} and without an outcome", "traceback": said}
        if process.returncode != 0 and "value" in outcome:
            return {"failed": f"measured, but then ended with {process.returncode}", "traceback": said}
        if "failed" in outcome:
            outcome["traceback"] = outcome.get("traceback", "") + said
        return outcome


def _ratio(unit: str, values: Sequence[float], reference: Sequence[float]) -> float | None:
    """The median over the repeats of "how many times better than the reference in the same repeat"."""
    pairs = list(zip(values, reference, strict=False))
    if not pairs:
        return None
    if higher_is_better(unit):
        return median([value / other for value, other in pairs if other])
    return median([other / value for value, other in pairs if value])


def measure_case(
    case: str, implementations: Sequence[Implementation], mode: str, settings: Settings
) -> list[Outcome]:
    """All repeats of one case in one mode, the implementations taking turns."""
    values: dict[str, list[float]] = {item.name: [] for item in implementations}
    extras: dict[str, list[dict[str, float]]] = {item.name: [] for item in implementations}
    units: dict[str, str] = {}
    out: dict[str, dict[str, Any]] = {}
    for repeat in range(settings.repeats):
        # Rotated: nobody always runs after the same neighbour.
        start = repeat % len(implementations)
        for item in (*implementations[start:], *implementations[:start]):
            if item.name in out:
                continue
            outcome = measure_once(case, item, mode, settings)
            if "value" in outcome:
                values[item.name].append(outcome["value"])
                extras[item.name].append(outcome["extras"])
                units[item.name] = outcome["unit"]
            else:
                out[item.name] = outcome
    reference = values.get(REFERENCE, [])
    outcomes = []
    for item in implementations:
        trouble = out.get(item.name, {})
        unit = units.get(item.name, "")
        mine = [] if trouble else values[item.name]
        figures = extras[item.name]
        outcomes.append(
            Outcome(
                case=case,
                mode=mode,
                implementation=item.name,
                unit=unit,
                values=mine,
                extras={key: median([each[key] for each in figures]) for key in figures[0]} if mine else {},
                ratio=_ratio(unit, mine, reference),
                skipped=trouble.get("skipped", ""),
                failed=trouble.get("failed", ""),
                traceback=trouble.get("traceback", ""),
            )
        )
    return outcomes


def measure(
    plan: Sequence[tuple[str, str]], implementations: Sequence[Implementation], settings: Settings
) -> Iterator[list[Outcome]]:
    """The outcomes of each (case, mode) of the plan in turn."""
    for case, mode in plan:
        taking_part = [item for item in implementations if item.takes_part_in(case)]
        if taking_part:
            yield measure_case(case, taking_part, mode, settings)
