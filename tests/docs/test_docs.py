"""The documentation against the sources: links, names, errors, words, and that it builds without a warning."""

from __future__ import annotations

import ast
import builtins
import doctest
import importlib
import importlib.util
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    path
    for path in [*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    if not {"_build", "generated"} & set(path.relative_to(ROOT).parts)
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SHOWN = re.compile(r"^```\{literalinclude\} (\S+)$", re.MULTILINE)
DOUBLED = re.compile(r"\b(\w+) \1\b", re.IGNORECASE)
DISTRIBUTIONS = [
    path.name
    for path in sorted(ROOT.glob("packages/*/src/procession_*"))
    if path.name != "procession_cluster"
]


def anchors(page):
    """The anchors of a page's headings, as MyST makes them."""
    found = set()
    for heading in re.findall(r"^#{1,3} (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
        words = re.sub(r"[^\w\s-]", "", heading.lower())
        found.add(re.sub(r"\s", "-", words.strip()))
    found |= set(re.findall(r"^\((\S+)\)=$", page.read_text(encoding="utf-8"), re.MULTILINE))
    return found


def prose(text):
    return re.sub(
        r"`[^`]*`", "(code)", re.sub(r"```.*?```|^    .*?$", "", text, flags=re.DOTALL | re.MULTILINE)
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    broken = []
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if "://" in target or "generated/" in path:
            continue
        other = (page.parent / path).resolve() if path else page
        if not other.exists() or (anchor and other.suffix == ".md" and anchor not in anchors(other)):
            broken.append(target)
    for path in SHOWN.findall(page.read_text(encoding="utf-8")):
        if not (page.parent / path).exists():
            broken.append(path)
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_word_stands_twice(page):
    # The rest of the spelling is codespell's: tox -e docs.
    found = [match[0] for match in DOUBLED.finditer(prose(page.read_text(encoding="utf-8")))]
    assert not found


def public_classes():
    for name in DISTRIBUTIONS:
        module = importlib.import_module(name)
        for attribute in getattr(module, "__all__", ()):
            yield name, attribute, getattr(module, attribute)


def test_every_exception_is_on_the_page_of_errors():
    text = (DOCS / "errors.md").read_text(encoding="utf-8")
    missing = [
        f"{module}.{name}"
        for module, name, found in public_classes()
        if inspect.isclass(found) and issubclass(found, BaseException) and not re.search(rf"\b{name}\b", text)
    ]
    assert not missing


def exception_classes():
    """Name and place of each exception class that any distribution defines, found in its source."""
    known = {"Exception", "BaseException", "SystemExit"} | {
        name
        for name, found in vars(builtins).items()
        if isinstance(found, type) and issubclass(found, BaseException)
    }
    classes = [
        (node, path)
        for path in sorted(ROOT.glob("packages/*/src/*/**/*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    ]
    found = {}
    while new := [
        (node, path)
        for node, path in classes
        if node.name not in found
        and any(getattr(base, "id", "") in known | set(found) for base in node.bases)
    ]:
        found.update((node.name, f"{path.relative_to(ROOT)}:{node.lineno}") for node, path in new)
    return found


def test_every_exception_class_of_the_sources_is_on_the_page_of_errors():
    text = (DOCS / "errors.md").read_text(encoding="utf-8")
    found = exception_classes()
    assert {"OwnerDiedError", "WorkerDiedError", "PoisonTaskError", "ManagerStateError"} <= set(found)
    internal = {
        "OtherServerError",
        "TooLong",
    }  # caught where they are raised: by a launcher, by a manager's server
    missing = {
        name: place
        for name, place in found.items()
        if not name.startswith("_") and name not in internal and not re.search(rf"\b{name}\b", text)
    }
    assert not missing


def test_every_entry_of_the_page_of_errors_has_a_remedy():
    lines = (DOCS / "errors.md").read_text(encoding="utf-8").splitlines()
    entries = [number for number, line in enumerate(lines) if line.startswith(": ")]
    assert len(entries) > 40
    # A definition of a few words tells no cause and no remedy.
    assert not [lines[number] for number in entries if len(lines[number]) < 40]


def test_every_public_name_has_a_docstring():
    missing = [
        f"{module}.{name}"
        for module, name, found in public_classes()
        if callable(found)
        and not inspect.getdoc(found)
        and not getattr(found, "__module__", "").startswith("typing")
    ]
    assert not missing


@pytest.mark.slow
def test_it_builds_without_a_warning(tmp_path):
    for module in ("sphinx", "furo", "myst_parser", "sphinx_copybutton"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed (tox -e docs installs it)")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-n",
        "-W",
        "--keep-going",
        "-q",
        "-b",
        "html",
        str(DOCS),
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr


def test_the_program_in_the_readme_runs(tmp_path):
    pytest.importorskip("procession")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    program = tmp_path / "readme.py"
    program.write_text(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], encoding="utf-8")
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 50


def test_doctests():
    tried = 0
    for name in [*DISTRIBUTIONS, "procession"]:
        package = importlib.import_module(name)
        for found in pkgutil.iter_modules(package.__path__, f"{name}."):
            if found.name.endswith(("__main__", "windows")) or ">>>" not in source(found.name):
                continue
            result = doctest.testmod(importlib.import_module(found.name))
            assert not result.failed
            tried += result.attempted
    pages = sum(doctest.testfile(str(page), module_relative=False).attempted for page in PAGES)
    assert tried + pages == examples_in_sources()


def source(name):
    spec = importlib.util.find_spec(name)
    return (
        Path(spec.origin).read_text(encoding="utf-8") if spec.origin and spec.origin.endswith(".py") else ""
    )


def examples_in_sources():
    """How many examples stand in the docstrings of public modules, so that none is left out unseen."""
    return sum(
        len(re.findall(r"^\s*>>> ", path.read_text(encoding="utf-8"), re.MULTILINE))
        for path in [*ROOT.glob("packages/*/src/*/*.py"), *PAGES]
    )
