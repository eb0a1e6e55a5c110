"""Hold the tree against the table of layers in the root pyproject.toml.

Usage: ``python tools/check_layers.py [ROOT]``.  Prints one line for each violation, ``file:line: rule:
what``, and ends with status 1 if there is any.  It reads source text only and imports nothing of what it
checks.

Rules:
    upward       a distribution imports one that its row of the table does not list
    undeclared   a distribution imports what its pyproject.toml does not depend on
    hidden       a distribution of the family is imported inside a function; procession itself may, being lazy
    restricted   a module of the standard library is imported outside the files that may do so
    assert       shipped code contains an assert statement, which -O would remove
    dependency   a dependency is not allowed by the table, or not pinned to the common version
    table        the table itself: a row imports its own rank or higher, a folder has no row, a row no folder
    metadata     name, version, Python floor, py.typed or licence of a distribution differ from the others'
    size         a source file has grown past the limit and wants to be split
    idle         a row lists what its distribution never imports; procession's may, being fetched by name
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

META = "procession"
MAX_LINES = 700


@dataclass(frozen=True, order=True)
class Violation:
    """One broken rule at one place."""

    path: str
    line: int
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.text}"


@dataclass(frozen=True)
class Import:
    """One imported module name, and whether the statement stands inside a function."""

    module: str
    line: int
    in_function: bool


@dataclass
class Distribution:
    """One folder of packages/ with its row of the table and its metadata."""

    name: str
    folder: Path
    rank: int
    may_import: frozenset[str]
    project: dict[str, Any]
    text: str = field(repr=False)

    @property
    def module(self) -> str:
        return module_of(self.name)

    def requirements(self) -> list[str]:
        """Runtime dependencies and those of every extra."""
        extras = self.project.get("optional-dependencies", {})
        return [*self.project.get("dependencies", []), *(r for group in extras.values() for r in group)]

    def line_of(self, text: str) -> int:
        """The line of pyproject.toml that holds ``text``; 1 if none does."""
        for number, line in enumerate(self.text.splitlines(), 1):
            if text in line:
                return number
        return 1


def module_of(distribution: str) -> str:
    """The package that a distribution installs: procession_queues for queues."""
    return META if distribution == META else f"procession_{distribution}"


def distribution_of(name: str) -> str | None:
    """The distribution that a module or a requirement belongs to; None if it is not of the family."""
    name = name.replace("-", "_")
    if name == META:
        return META
    return name.removeprefix("procession_") if name.startswith("procession_") else None


def requirement_name(requirement: str) -> str:
    """The bare name at the beginning of a requirement."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    return found.group() if found else requirement


class _Imports(ast.NodeVisitor):
    """Collect what a module imports, by statement or by a call with a literal name."""

    def __init__(self) -> None:
        self.found: list[Import] = []
        self.asserts: list[int] = []
        self._depth = 0

    def _function(self, node: ast.AST) -> None:
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = _function

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(alias.name, node.lineno)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level == 0 and node.module:
            self._add(node.module, node.lineno)

    def visit_Assert(self, node: ast.Assert) -> None:
        self.asserts.append(node.lineno)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        callee = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if callee in ("import_module", "__import__", "_import_module") and node.args:
            first = node.args[0]
            if (
                isinstance(first, ast.Constant)
                and isinstance(first.value, str)
                and not first.value.startswith(".")
            ):
                self._add(first.value, node.lineno)
        self.generic_visit(node)

    def _add(self, module: str, line: int) -> None:
        self.found.append(Import(module, line, self._depth > 0))


class Checker:
    """Reads the table once, then checks every distribution."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.configuration = (root / "pyproject.toml").read_text(encoding="utf-8")
        layers = tomllib.loads(self.configuration)["tool"]["layers"]
        self.table: dict[str, dict[str, Any]] = layers["distributions"]
        self.restricted: dict[str, list[str]] = layers.get("restricted", {})
        self.oversized: dict[str, int] = layers.get("oversized", {})
        self.version = (root / "VERSION").read_text(encoding="utf-8").strip()
        self.violations: list[Violation] = []
        self.imported: dict[str, set[str]] = {}

    def run(self) -> list[Violation]:
        """Check everything; the violations are sorted by file and line."""
        self._check_table()
        for distribution in self._distributions():
            self._check_metadata(distribution)
            self._check_dependencies(distribution)
            for path in sorted((distribution.folder / "src").rglob("*.py")):
                self._check_file(distribution, path)
            for path in sorted((distribution.folder / "csrc").rglob("*.[ch]")):
                self._check_size(path, path.read_text(encoding="utf-8"))
            self._check_idle(distribution)
        return sorted(self.violations)

    def _report(self, path: Path, line: int, rule: str, text: str) -> None:
        self.violations.append(Violation(path.relative_to(self.root).as_posix(), line, rule, text))

    def _check_table(self) -> None:
        path = self.root / "pyproject.toml"
        lines = self.configuration.splitlines()
        for name, row in self.table.items():
            line = next((n for n, text in enumerate(lines, 1) if re.match(rf"{name}\s*=\s*\{{", text)), 1)
            for other in row["may_import"]:
                if other not in self.table:
                    self._report(path, line, "table", f"{name} may import {other}, which has no row")
                elif self.table[other]["rank"] >= row["rank"]:
                    self._report(
                        path,
                        line,
                        "table",
                        f"{name} (rank {row['rank']}) may import {other} "
                        f"(rank {self.table[other]['rank']}), which is not below it",
                    )
            if not row.get("optional") and not (self.root / "packages" / name / "pyproject.toml").exists():
                self._report(path, line, "table", f"packages/{name}/pyproject.toml does not exist")

    def _distributions(self) -> Iterator[Distribution]:
        for path in sorted((self.root / "packages").glob("*/pyproject.toml")):
            name = path.parent.name
            if name not in self.table:
                self._report(path, 1, "table", f"{name} has no row in [tool.layers.distributions]")
                continue
            text = path.read_text(encoding="utf-8")
            row = self.table[name]
            yield Distribution(
                name,
                path.parent,
                row["rank"],
                frozenset(row["may_import"]),
                tomllib.loads(text)["project"],
                text,
            )

    def _check_metadata(self, distribution: Distribution) -> None:
        path = distribution.folder / "pyproject.toml"
        project = distribution.project
        expected = {
            "name": META if distribution.name == META else f"procession-{distribution.name}",
            "version": self.version,
            "requires-python": ">=3.11",
        }
        for key, value in expected.items():
            if project.get(key) != value:
                self._report(
                    path,
                    distribution.line_of(f"{key} ="),
                    "metadata",
                    f"{key} is {project.get(key)!r}, not {value!r}",
                )
        for needed in ("README.md", "LICENSE", f"src/{distribution.module}/py.typed"):
            if not (distribution.folder / needed).exists():
                self._report(path, 1, "metadata", f"{needed} is missing beside it")
        licence = distribution.folder / "LICENSE"
        if licence.exists() and licence.read_bytes() != (self.root / "LICENSE").read_bytes():
            self._report(licence, 1, "metadata", "differs from the LICENSE of the repository")

    def _check_dependencies(self, distribution: Distribution) -> None:
        path = distribution.folder / "pyproject.toml"
        for requirement in distribution.project.get("dependencies", []):
            if distribution_of(requirement_name(requirement)) is None:
                self._report(
                    path,
                    distribution.line_of(requirement),
                    "dependency",
                    f"{requirement} is not of the family; third parties belong into extras",
                )
        for requirement in distribution.requirements():
            other = distribution_of(requirement_name(requirement))
            if other is None:
                continue
            line = distribution.line_of(requirement)
            if other != distribution.name and other not in distribution.may_import:
                self._report(path, line, "dependency", f"{distribution.name} may not depend on {other}")
            if not requirement.endswith(f"=={self.version}"):
                self._report(path, line, "dependency", f"{requirement} is not pinned to =={self.version}")

    def _check_idle(self, distribution: Distribution) -> None:
        for other in sorted(distribution.may_import - self.imported.get(distribution.name, set())):
            row = self.table.get(other)
            if distribution.name != META and row is not None and row["rank"] < distribution.rank:
                path = distribution.folder / "pyproject.toml"
                self._report(path, 1, "idle", f"{distribution.name} may import {other} and never does")

    def _check_size(self, path: Path, text: str) -> None:
        count = text.count("\n")
        limit = self.oversized.get(path.relative_to(self.root).as_posix(), MAX_LINES)
        if count > limit:
            self._report(path, count, "size", f"{count} lines; split it (the limit is {limit})")

    def _check_file(self, distribution: Distribution, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        self._check_size(path, text)
        try:
            tree = ast.parse(text)
        except SyntaxError as error:
            self._report(path, error.lineno or 1, "syntax", error.msg)
            return
        visitor = _Imports()
        visitor.visit(tree)
        for line in visitor.asserts:
            self._report(path, line, "assert", "raise an exception that says what is wrong")
        words = path.relative_to(distribution.folder / "src").as_posix()
        declared = {requirement_name(r).replace("-", "_") for r in distribution.requirements()}
        for item in visitor.found:
            top = item.module.partition(".")[0]
            self._check_import(distribution, path, item, top, declared)
            allowed = self.restricted.get(top)
            if allowed is not None and not any(word in words for word in allowed):
                where = (
                    f"only in files named *{'*, *'.join(allowed)}*" if allowed else "nowhere in shipped code"
                )
                self._report(path, item.line, "restricted", f"{top} may be imported {where}")

    def _check_import(
        self, distribution: Distribution, path: Path, item: Import, top: str, declared: set[str]
    ) -> None:
        other = distribution_of(top)
        if other is None:
            if top not in sys.stdlib_module_names and top not in declared:
                self._report(
                    path,
                    item.line,
                    "undeclared",
                    f"{top} is neither in the standard library nor among the dependencies",
                )
            return
        if other == distribution.name:
            return
        self.imported.setdefault(distribution.name, set()).add(other)
        if other not in distribution.may_import:
            self._report(
                path,
                item.line,
                "upward",
                f"{distribution.name} (rank {distribution.rank}) may not "
                f"import {other}; let {other} register a hook downward",
            )
        elif top not in declared:
            self._report(
                path,
                item.line,
                "undeclared",
                f"{top} is imported, but pyproject.toml does not depend on procession-{other}",
            )
        if item.in_function and distribution.name != META:
            self._report(
                path, item.line, "hidden", f"{top} is imported inside a function; import it at the top"
            )


def main(arguments: list[str]) -> int:
    """The command: check one tree."""
    root = Path(arguments[0] if arguments else Path(__file__).parent.parent).resolve()
    checker = Checker(root)
    violations = checker.run()
    for violation in violations:
        print(violation)
    if violations:
        print(f"{len(violations)} violation(s) of the layers")
        return 1
    print(f"layers: {len(list((root / 'packages').glob('*/pyproject.toml')))} distributions, no violation")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
