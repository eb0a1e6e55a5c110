"""The documentation against the sources: links, names, errors, words, and that it builds without a warning."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
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
MISSPELT = re.compile(
    r"\b(recieve\w*|seperat\w*|occured|occurence\w*|wich|teh|alot|existant|neccess\w*|accross|adress\w*|begining|"
    r"persistant|succesful\w*|refered|untill|writeing|paralel\w*|asyncron\w*|syncron\w*|enviroment|"
    r"(\w+) \2)\b",
    re.IGNORECASE,
)
DISTRIBUTIONS = [
    path.name for path in sorted(ROOT.glob("packages/*/src/procession_*")) if path.name != "procession_cluster"
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
    return re.sub(r"`[^`]*`", "(code)", re.sub(r"```.*?```|^    .*?$", "", text, flags=re.DOTALL | re.MULTILINE))


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
def test_common_misspellings(page):
    found = [match[0] for match in MISSPELT.finditer(prose(page.read_text(encoding="utf-8")))]
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


def test_every_public_name_has_a_docstring():
    missing = [
        f"{module}.{name}"
        for module, name, found in public_classes()
        if callable(found) and not inspect.getdoc(found) and not getattr(found, "__module__", "").startswith("typing")
    ]
    assert not missing


@pytest.mark.slow
def test_it_builds_without_a_warning(tmp_path):
    for module in ("sphinx", "furo", "myst_parser", "sphinx_copybutton"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed (tox -e docs installs it)")
    command = [sys.executable, "-m", "sphinx", "-n", "-W", "--keep-going", "-q", "-b", "html", str(DOCS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
