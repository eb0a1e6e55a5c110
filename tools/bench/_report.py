"""Results as JSON, as lines on the screen, as a comparison and as a Markdown table."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._baseline import ROWS
from ._impls import REFERENCE
from ._runner import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ._impls import Implementation
    from ._runner import Settings

# Below this, a difference of two ratios is noise on a shared machine.
_NOTICEABLE = 1.2
_OURS = ("procession", "procession-portable")


def _is_ours(name: str) -> bool:
    """Whether floors and goals are meant for this implementation."""
    return name.startswith(("procession", "leaves"))


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    return run.stdout.strip()


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor()


def machine() -> dict[str, Any]:
    """The machine, its kernel and the interpreter."""
    return {
        "machine": platform.machine(),
        "cpu": _cpu(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "load_1min": os.getloadavg()[0],
        "system": f"{platform.system()} {platform.release()}",
        "libc": " ".join(platform.libc_ver()),
        "python": sys.version,
        "implementation": platform.python_implementation(),
    }


def document(
    outcomes: Sequence[Outcome],
    implementations: Sequence[Implementation],
    absent: dict[str, str],
    settings: Settings,
    seconds: float,
) -> dict[str, Any]:
    """The whole run as it is written to a file."""
    return {
        "schema": 1,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "machine": machine(),
        "settings": settings._asdict(),
        "seconds": round(seconds, 1),
        "implementations": {item.name: item.version() for item in implementations},
        "absent": absent,
        "results": [{**outcome._asdict(), "median": outcome.median} for outcome in outcomes],
    }


def read(path: str) -> tuple[dict[str, Any], list[Outcome]]:
    """A result file: the document and its outcomes."""
    data: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    outcomes = [Outcome(**{name: item[name] for name in Outcome._fields}) for item in data["results"]]
    return data, outcomes


def number(value: float | None) -> str:
    """A figure as short as it can be read."""
    if value is None:
        return "-"
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def lines(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """One line for each implementation of one case and mode."""
    for outcome in outcomes:
        row = ROWS[outcome.case]
        head = f"{outcome.case:26}{outcome.mode:7} {outcome.implementation:20}"
        if outcome.failed:
            yield f"{head} FAILED   {outcome.failed[:160]}"
        elif outcome.skipped:
            yield f"{head} skipped  {outcome.skipped[:160]}"
        else:
            text = f"{head}{number(outcome.median):>12} {outcome.unit:8}"
            if outcome.implementation != REFERENCE and outcome.ratio is not None:
                verdict = row.verdict(outcome.ratio, outcome.mode)
                text += f" {outcome.ratio:7.2f}x"
                if _is_ours(outcome.implementation):
                    text += f"   floor {row.floor:g}  goal {row.goal:g}  {verdict}"
            yield text.rstrip()


def below(outcomes: Sequence[Outcome], names: Sequence[str] = ("procession",)) -> list[Outcome]:
    """The outcomes of ``names`` that miss the floor of their row in the mode in which it is judged."""
    return [
        outcome
        for outcome in outcomes
        if outcome.implementation in names
        and (outcome.failed or ROWS[outcome.case].verdict(outcome.ratio, outcome.mode) == "BELOW")
    ]


def summary(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """How many rows each implementation brought where."""
    for name in dict.fromkeys(outcome.implementation for outcome in outcomes):
        mine = [outcome for outcome in outcomes if outcome.implementation == name]
        failed = [outcome.case for outcome in mine if outcome.failed]
        text = f"{name:20} {len([o for o in mine if o.values]):4} measured"
        if _is_ours(name):
            verdicts = [ROWS[outcome.case].verdict(outcome.ratio, outcome.mode) for outcome in mine]
            counts = {word: verdicts.count(word) for word in ("goal", "floor", "BELOW")}
            text += "".join(f", {count} {word}" for word, count in counts.items())
        text += f", {len([o for o in mine if o.skipped])} skipped, {len(failed)} failed"
        yield text + (": " + " ".join(failed) if failed else "")


def _key(outcome: Outcome) -> tuple[str, str, str]:
    return outcome.case, outcome.mode, outcome.implementation


def compare(old: Sequence[Outcome], new: Sequence[Outcome]) -> Iterator[str]:
    """The ratios of two results side by side; the absolute values only where there is no ratio."""
    before = {_key(outcome): outcome for outcome in old}
    yield f"{'case':26}{'mode':8}{'implementation':21}{'old':>10}{'new':>10}{'change':>9}"
    for outcome in new:
        other = before.get(_key(outcome))
        if other is None or outcome.implementation == REFERENCE:
            continue
        head = f"{outcome.case:26}{outcome.mode:8}{outcome.implementation:21}"
        if outcome.ratio is None or other.ratio is None:
            both = (other, outcome)
            states = ["failed" if item.failed else number(item.median) for item in both]
            if any(item.values or item.failed for item in both):
                yield f"{head}{states[0]:>10}{states[1]:>10}"
            continue
        change = outcome.ratio / other.ratio
        mark = "" if 1 / _NOTICEABLE < change < _NOTICEABLE else "  faster" if change > 1 else "  SLOWER"
        yield f"{head}{other.ratio:9.2f}x{outcome.ratio:9.2f}x{change:9.2f}{mark}"


def _cell(outcome: Outcome | None) -> str:
    if outcome is None or outcome.skipped:
        return ""
    if outcome.failed:
        return "failed"
    return f"{outcome.ratio:.2f}" if outcome.ratio is not None else ""


def _best_peer(outcomes: Sequence[Outcome]) -> str:
    peers = [o for o in outcomes if o.ratio is not None and not _is_ours(o.implementation)]
    peers = [o for o in peers if o.implementation not in (REFERENCE, "control")]
    if not peers:
        return ""
    best = max(peers, key=lambda outcome: outcome.ratio or 0.0)
    return f"{best.implementation} {best.ratio:.2f}"


def table(data: dict[str, Any], outcomes: Sequence[Outcome]) -> Iterator[str]:
    """The Markdown page of a result: the machine, then a table with one line for each row and mode."""
    of = data["machine"]
    changed = " with local changes" if data["dirty"] else ""
    yield f"Measured {data['date'][:10]} on {of['cpus']} CPUs ({of['cpu']}), {of['system']},"
    yield f"Python {of['python'].split()[0]}, commit {data['commit'][:12]}{changed}:"
    yield f"medians of {data['settings']['repeats']} interleaved repeats."
    yield "Ratios are against the stdlib in the same run; above 1 is better."
    others = ", ".join(f"{name} {version}" for name, version in data["implementations"].items())
    yield f"Implementations: {others}."
    yield ""
    ours = [name for name in _OURS if name in data["implementations"]]
    head = ["case", "what", "mode", "stdlib", *ours, "best peer", "floor", "goal", "verdict"]
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault((outcome.case, outcome.mode), []).append(outcome)
    for (case, mode), group in groups.items():
        row = ROWS[case]
        by_name = {outcome.implementation: outcome for outcome in group}
        reference = by_name.get(REFERENCE)
        first = by_name.get(_OURS[0])
        cells = [case, row.what, mode]
        cells.append(f"{number(reference.median)} {reference.unit}" if reference and reference.values else "")
        cells += [_cell(by_name.get(name)) for name in ours]
        cells += [_best_peer(group), f"{row.floor:g}", f"{row.goal:g}"]
        cells.append(row.verdict(first.ratio, mode) if first else "")
        yield "| " + " | ".join(cells) + " |"
