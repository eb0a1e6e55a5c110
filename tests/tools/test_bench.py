"""The benchmark runner: its rows, its verdicts, its guards, and that it measures."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from bench import _baseline, _cli, _impls, _measure, _report, _runner  # noqa: E402  (needs the path)
from bench._crew import Crew  # noqa: E402
from bench.cases import load_all  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmark reads /proc and forks")

QUICK = _runner.Settings(repeats=2, min_seconds=0.005, quick=True)
STDLIB = _impls.IMPLEMENTATIONS["stdlib"]


def run_bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools" / "bench"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def outcome(implementation: str, ratio: float | None, **fields: Any) -> _runner.Outcome:
    settings: dict[str, Any] = {
        "case": "sync.lock",
        "mode": "free",
        "unit": "ns",
        "values": [50.0],
        "extras": {},
    }
    return _runner.Outcome(implementation=implementation, ratio=ratio, **{**settings, **fields})


def test_every_row_of_the_baseline_has_a_case_and_every_case_a_row() -> None:
    assert set(load_all()) == set(_baseline.ROWS)


def test_rows_are_well_formed() -> None:
    for row in _baseline.ROWS.values():
        assert row.goal >= row.floor > 0, row.case
        assert row.judged in {"free", "pinned"}, row.case
        assert row.unit and row.what, row.case


def test_latency_rows_are_judged_pinned() -> None:
    pinned = {case for case, row in _baseline.ROWS.items() if row.judged == "pinned"}
    assert pinned == {case for case in _baseline.ROWS if ".rtt" in case or "pingpong" in case}


@pytest.mark.parametrize(
    ("ratio", "floor", "goal", "verdict"),
    [
        (0.94, 1.0, 1.5, "BELOW"),
        (0.95, 1.0, 1.5, "floor"),
        (1.5, 1.0, 1.5, "goal"),
        (1.99, 2.0, 4.0, "BELOW"),
        (2.0, 2.0, 4.0, "floor"),
    ],
)
def test_verdict(ratio: float, floor: float, goal: float, verdict: str) -> None:
    row = _baseline.ROWS["sync.lock"]._replace(floor=floor, goal=goal)
    assert row.verdict(ratio, "free") == verdict


def test_a_row_is_not_judged_in_the_other_mode() -> None:
    assert _baseline.ROWS["queue.rtt"].verdict(0.1, "free") == ""
    assert _baseline.ROWS["queue.rtt"].verdict(0.1, "pinned") == "BELOW"


@pytest.mark.parametrize(
    "case", ["sync.lock", "queue.small.4p4c", "process.spawn", "scale.mem.fork", "import.mem"]
)
def test_a_case_measures_the_stdlib(case: str) -> None:
    (found,) = _runner.measure_case(case, [STDLIB], "free", QUICK)
    assert not found.failed, found.traceback
    assert len(found.values) == 2
    assert min(found.values) > 0
    assert found.ratio == 1.0
    assert found.unit == _baseline.ROWS[case].unit


def test_a_case_runs_pinned() -> None:
    (found,) = _runner.measure_case("pipe.rtt.bytes64", [STDLIB], "pinned", QUICK)
    assert found.mode == "pinned"
    assert found.values, found.traceback


def test_a_child_that_hangs_is_killed_and_reported() -> None:
    settings = QUICK._replace(hang_seconds=0.3, min_seconds=60.0)
    found = _runner.measure_once("sync.lock.contended2", STDLIB, "free", settings)
    assert found["failed"] == "killed after 0.3 s"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_member_that_dies_ends_the_wait_for_it() -> None:
    with Crew(multiprocessing.get_context("fork")) as crew:
        crew.add(die)
        crew.go()
        with pytest.raises(_measure.WrongResult, match="ended with -9"):
            crew.results()


def test_a_member_that_raises_fails_the_case() -> None:
    with Crew(multiprocessing.get_context("fork")) as crew:
        crew.add(divmod, 1, 0)
        with pytest.raises(_measure.WrongResult, match="ZeroDivisionError"):
            crew.run()


def test_a_child_that_cannot_load_the_implementation_fails_without_harm() -> None:
    missing = STDLIB._replace(name="procession-missing", module="procession_missing")
    (found,) = _runner.measure_case("sync.lock", [missing], "free", QUICK)
    assert "ModuleNotFoundError" in found.failed
    assert not found.values


class Broken:
    """A lock that stays taken."""

    def Lock(self) -> Broken:
        return self

    def acquire(self, block: bool = True) -> bool:
        return block

    def release(self) -> None: ...


def test_a_wrong_result_fails_the_case() -> None:
    with pytest.raises(_measure.WrongResult):
        load_all()["sync.lock"](Broken(), _measure.Scale(0.001, quick=True))


@pytest.mark.parametrize(
    ("unit", "values", "reference", "ratio"),
    [
        ("ns", [10.0, 20.0, 40.0], [20.0, 60.0, 40.0], 2.0),
        ("MB/s", [20.0, 60.0, 40.0], [10.0, 20.0, 40.0], 2.0),
    ],
)
def test_ratios_are_medians_of_the_pairs_and_above_one_is_better(
    unit: str, values: Sequence[float], reference: Sequence[float], ratio: float
) -> None:
    assert _runner._ratio(unit, values, reference) == ratio


def test_an_absent_implementation_is_skipped_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = STDLIB._replace(name="absent", module="procession_absent")
    monkeypatch.setitem(_impls.IMPLEMENTATIONS, "absent", absent)
    present, reasons = _cli._implementations("absent")
    assert [item.name for item in present] == ["stdlib"]
    assert reasons == {"absent": "procession_absent is not installed"}


@pytest.mark.parametrize("arguments", [["--impl", "nobody"], ["--cases", "nothing.*"]])
def test_unknown_names_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="bench: "):
        _cli.main(arguments)


def test_below_and_summary_count_missed_floors() -> None:
    found = [outcome("stdlib", 1.0), outcome("procession", 0.5), outcome("billiard", 0.5)]
    assert [item.implementation for item in _report.below(found)] == ["procession"]
    text = "\n".join(_report.summary(found))
    assert text.count("1 BELOW") == 1


def test_a_failure_counts_as_below() -> None:
    assert _report.below([outcome("procession", None, values=[], failed="killed after 60 s")])


def test_compare_marks_what_changed() -> None:
    lines = list(_report.compare([outcome("procession", 2.0)], [outcome("procession", 1.0)]))
    assert lines[1].endswith("SLOWER")
    assert "2.00x" in lines[1] and "1.00x" in lines[1]


def test_the_command_line_measures_writes_and_makes_the_table(tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    run = run_bench(
        "--quick",
        "--repeats",
        "2",
        "--min-seconds",
        "0.005",
        "--impl",
        "stdlib",
        "--cases",
        "sync.lock,sync.event.pingpong",
        "--json",
        str(result),
    )
    assert run.returncode == 0, run.stdout + run.stderr
    data = json.loads(result.read_text())
    assert [(item["case"], item["mode"]) for item in data["results"]] == [
        ("sync.lock", "free"),
        ("sync.event.pingpong", "pinned"),
    ]
    assert {"machine", "commit", "date", "settings", "implementations", "absent"} <= set(data)
    table = run_bench("table", str(result))
    assert table.returncode == 0, table.stderr
    assert "| sync.lock | Lock acquire+release, uncontended | free |" in table.stdout
    compared = run_bench("compare", str(result), str(result))
    assert compared.returncode == 0, compared.stderr


def test_module_form_works_too() -> None:
    command = [sys.executable, "-m", "tools.bench", "list"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    assert len(run.stdout.splitlines()) == len(_baseline.ROWS)
