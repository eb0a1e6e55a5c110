"""Promises that the repository makes about itself: the README's commands, the version, the environments."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def distributions() -> list[str]:
    return sorted(path.parent.name for path in ROOT.glob("packages/*/pyproject.toml"))


def test_readme_has_two_commands_of_one_line() -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.M | re.S)
    assert len(blocks) == 2
    for block in blocks:
        assert block.count("\n") == 1
        assert "-m venv" in block
        assert "tox -e " in block


def test_readme_names_hatch_and_tox_nowhere_before_its_commands() -> None:
    before = README.partition("```sh")[0]
    assert not re.search(r"(?m)^\s*(\$ )?(hatch|tox)\b", before)


def test_readme_shows_code_before_line_30() -> None:
    lines = README.splitlines()
    assert lines.index("```python") < 30


def test_readme_example_parses_and_is_complete() -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```", README, re.M | re.S)
    compile(example, "README.md", "exec")
    assert "import procession" in example


def test_readme_lists_every_distribution() -> None:
    missing = [name for name in distributions() if f"(packages/{name})" not in README]
    assert not missing


def test_tox_and_workflow_isolate_every_distribution() -> None:
    workflow = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    (listed,) = re.findall(r"distribution: \[(.*)\]", workflow)
    (generated,) = re.findall(r"testenv:isolated-\{(.*)\}", (ROOT / "tox.ini").read_text(encoding="utf-8"))
    for name in distributions():
        assert name in listed.split(", ")
        assert name in generated.split(",")


def test_set_version_reaches_every_place(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools/set_version.py", tmp_path / "tools")
    for name in distributions():
        (tmp_path / "packages" / name).mkdir(parents=True)
        shutil.copy(ROOT / "packages" / name / "pyproject.toml", tmp_path / "packages" / name)
    tool = str(tmp_path / "tools/set_version.py")
    assert subprocess.run([sys.executable, tool, "9.8.7rc6"], timeout=60).returncode == 0
    assert (tmp_path / "VERSION").read_text() == "9.8.7rc6\n"
    for name in distributions():
        project = tomllib.loads((tmp_path / "packages" / name / "pyproject.toml").read_text())["project"]
        assert project["version"] == "9.8.7rc6"
        groups = [project["dependencies"], *project.get("optional-dependencies", {}).values()]
        pins = [r for group in groups for r in group if r.startswith("procession")]
        assert all(pin.endswith("==9.8.7rc6") for pin in pins), pins


def test_set_version_refuses_nonsense() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools/set_version.py"), "new"], capture_output=True, timeout=60
    )
    assert done.returncode == 2


def test_fragments_name_their_distribution() -> None:
    allowed = set(distributions())
    for path in (ROOT / "changelog.d").glob("*.md"):
        if path.name == "README.md":
            continue
        assert re.fullmatch(r".+\.(added|changed|fixed|removed)\.md", path.name), path.name
        text = path.read_text(encoding="utf-8")
        found = re.match(r"`([a-z-]+)`", text)
        assert found, f"{path.name} does not begin with a distribution in backticks"
        assert found[1].removeprefix("procession-") in allowed, path.name


def test_the_map_of_the_core_names_every_file() -> None:
    folder = ROOT / "packages" / "native" / "csrc"
    text = (folder / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)\.[ch]`", text)) | {"os_linux", "os_darwin"}
    there = {path.stem for path in folder.glob("*.[ch]")}
    assert named - there == set() and there - named == set(), (named - there, there - named)
