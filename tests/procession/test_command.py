"""``python -m procession``: what a program sees is what it sees under ``python`` itself."""

from __future__ import annotations

import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

LOOK = """\
import sys
print(__name__, __file__, __package__, getattr(__spec__, "name", None), sys.argv, sys.path[0], type(__builtins__))
print(sorted(k for k in globals() if k != "__procession_main__"), __doc__)
print(sys.modules["__main__"].__dict__ is globals())
if sys.argv[-1] == "raise":
    raise LookupError("on purpose")
if sys.argv[-1] == "exit":
    sys.exit(7)
if sys.argv[-1] == "interrupt":
    raise KeyboardInterrupt
"""


def run(*arguments: str, cwd: Path, stdin: str | None = None) -> tuple[int, str, str]:
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, input=stdin or "")
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    (tmp_path / "script.py").write_text(LOOK)
    (tmp_path / "package").mkdir()
    (tmp_path / "package/__init__.py").touch()
    for name in ("package/__main__.py", "package/part.py"):
        (tmp_path / name).write_text(LOOK)
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("__main__.py", LOOK)
    return tmp_path


@pytest.mark.parametrize("end", ["plain", "raise", "exit", "interrupt"])
@pytest.mark.parametrize(
    "program",
    [["script.py"], ["./script.py"], ["package"], ["archive.zip"], ["-m", "script"], ["-m", "package"],
     ["-m", "package.part"], ["-c", LOOK.replace("__file__", "0")]],
    ids=["script", "relative", "folder", "zip", "module", "package", "submodule", "code"],
)  # fmt: skip
def test_program_sees_what_python_shows_it(programs: Path, program: list[str], end: str) -> None:
    status, out, err = run(*program, "first", end, cwd=programs)
    ours, out_ours, err_ours = run("-m", "procession", *program, "first", end, cwd=programs)
    assert ours == status
    assert out_ours == out
    # `python -m` shows frames of runpy before the program's own, and so it does for folders.
    own = err.splitlines()[-2:] if "runpy" in err else err.splitlines()
    assert err_ours.splitlines()[-len(own) :] == own if own else not err_ours
    assert "_command" not in err_ours
    if end == "interrupt":
        assert ours == -signal.SIGINT


def test_standard_input_is_a_program(programs: Path) -> None:
    plain = run("-", "a", cwd=programs, stdin="import sys; print(sys.argv, repr(sys.path[0]))")
    ours = run(
        "-m", "procession", "-", "a", cwd=programs, stdin="import sys; print(sys.argv, repr(sys.path[0]))"
    )
    assert ours == plain


def test_safe_path_is_kept(programs: Path) -> None:
    status, out, err = run("-P", "-m", "procession", "script.py", cwd=programs)
    assert status == 0, err
    assert f"{programs}" not in out.partition("]")[2]


def test_syntax_error_looks_as_usual(programs: Path) -> None:
    (programs / "wrong.py").write_text("def (:\n")
    assert run("-m", "procession", "wrong.py", cwd=programs) == run("wrong.py", cwd=programs)


@pytest.mark.parametrize("arguments", [[], ["-m"], ["-c"], ["--"], ["-x"], ["absent.py"]])
def test_wrong_command_lines_exit_with_2(programs: Path, arguments: list[str]) -> None:
    status, _, err = run("-m", "procession", *arguments, cwd=programs)
    assert status == 2
    assert "usage: python -m procession" in err or "can't open file" in err


def test_absent_module(programs: Path) -> None:
    assert (
        run("-m", "procession", "-m", "absent", cwd=programs)[::2] == run("-m", "absent", cwd=programs)[::2]
    )


def test_help(programs: Path) -> None:
    status, out, _ = run("-m", "procession", "--help", cwd=programs)
    assert status == 0
    assert out.startswith("usage: python -m procession")
