"""tools/release.py: what it refuses, and what it notices. A whole release takes minutes: tox -e release."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import release  # noqa: E402  (needs the path)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of one file, committed, as the tree that is released."""
    (tmp_path / "VERSION").write_text("1.2.3\n")
    for command in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@example.invalid", "commit", "-qm", "first"],
    ):
        subprocess.run(["git", *command], cwd=tmp_path, check=True, timeout=60)
    monkeypatch.setattr(release, "ROOT", tmp_path)
    monkeypatch.setitem(release.run.__kwdefaults__, "cwd", tmp_path)
    return tmp_path


def test_a_clean_tree_tells_its_time(tree: Path) -> None:
    assert int(release.check_tree("1.2.3", False)) > 1_600_000_000


def test_another_version_is_refused(tree: Path) -> None:
    with pytest.raises(release.Wrong, match=r"the tree is version 1\.2\.3, not 2\.0.*set_version"):
        release.check_tree("2.0", False)


@pytest.mark.parametrize("name", ["VERSION", "new"])
def test_a_dirty_tree_is_refused(tree: Path, name: str) -> None:
    with (tree / name).open("a") as file:
        file.write("\n")
    with pytest.raises(release.Wrong, match="uncommitted changes"):
        release.check_tree("1.2.3", False)
    release.check_tree("1.2.3", True)


def test_builds_that_differ_are_named() -> None:
    release.compare({"a": "1", "b": "2"}, {"a": "1", "b": "2"})
    with pytest.raises(release.Wrong, match=r"differ in b, c$"):
        release.compare({"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"})


def test_a_tag_tells_the_c_library_and_its_version() -> None:
    assert release.libc_version("manylinux_2_28_x86_64") == ("manylinux", (2, 28))
    assert release.libc_version("musllinux_1_2_aarch64") == ("musllinux", (1, 2))
    with pytest.raises(release.Wrong, match="linux_x86_64 is no manylinux or musllinux tag"):
        release.libc_version("linux_x86_64")


def test_the_copy_holds_what_is_committed(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    (tree / ".gitignore").write_text("build\n")
    (tree / "build").write_text("")
    copy = release.copy_tree(tmp_path_factory.mktemp("copy"))
    assert sorted(path.name for path in copy.iterdir()) == [".gitignore", "VERSION"]


def test_a_failing_command_shows_its_output() -> None:
    with pytest.raises(release.Wrong, match=r"(?s)ended with 3:.*why"):
        release.run(sys.executable, "-c", "print('why'); raise SystemExit(3)")


def test_it_starts_from_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert release.main(["1.2.3", "--out", str(tmp_path)]) == 2
    assert "a release starts from nothing" in capsys.readouterr().err
