"""tools/check_layers.py against trees that break one rule each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "check_layers.py"

TABLE = """\
[tool.layers.distributions]
core = { rank = 0, may_import = [] }
queues = { rank = 4, may_import = ["core"] }
procession = { rank = 7, may_import = ["core", "queues"] }

[tool.layers.restricted]
multiprocessing = []
_winapi = ["windows"]
"""


class Tree:
    """A small repository that breaks no rule until a test changes it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("pyproject.toml", TABLE)
        self.write("VERSION", "1.2.3\n")
        self.write("LICENSE", "terms\n")
        self.distribution("core")
        self.distribution("queues", "procession-core==1.2.3")
        self.distribution("procession", "procession-core==1.2.3", "procession-queues==1.2.3")
        self.module("queues", "_uses.py", "import procession_core")

    def write(self, path: str, text: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def distribution(self, name: str, *dependencies: str, more: str = "", version: str = "1.2.3") -> None:
        full = "procession" if name == "procession" else f"procession-{name}"
        lines = [
            "[project]",
            f'name = "{full}"',
            f'version = "{version}"',
            'requires-python = ">=3.11"',
            "dependencies = [",
            *(f'    "{d}",' for d in dependencies),
            "]",
            more,
        ]
        self.write(f"packages/{name}/pyproject.toml", "\n".join(lines))
        self.write(f"packages/{name}/README.md", "")
        self.write(f"packages/{name}/LICENSE", "terms\n")
        self.module(name, "py.typed", "")
        self.module(name, "__init__.py", "")

    def module(self, name: str, path: str, text: str) -> None:
        package = "procession" if name == "procession" else f"procession_{name}"
        self.write(f"packages/{name}/src/{package}/{path}", text)

    def check(self) -> tuple[int, list[str]]:
        done = subprocess.run(
            [sys.executable, str(TOOL), str(self.root)], capture_output=True, text=True, timeout=60
        )
        assert not done.stderr
        return done.returncode, done.stdout.splitlines()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def only_violation(tree: Tree) -> str:
    status, lines = tree.check()
    assert status == 1
    assert len(lines) == 2, lines
    assert lines[1] == "1 violation(s) of the layers"
    return lines[0]


def test_good_tree_passes(tree: Tree) -> None:
    tree.module("queues", "_a.py", "import os\nfrom procession_core import errors\nfrom . import _b\n")
    assert tree.check() == (0, ["layers: 3 distributions, no violation"])


def test_this_repository_passes() -> None:
    done = subprocess.run([sys.executable, str(TOOL)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "statement",
    [
        "import procession_queues",
        "import procession_queues._a as a",
        "from procession_queues import Queue",
        "from procession_queues._a import x",
        "if TYPE_CHECKING: import procession_queues",
        "importlib.import_module('procession_queues')",
        "__import__('procession_queues._a')",
    ],
)
def test_upward_import_is_told_with_file_and_line(tree: Tree, statement: str) -> None:
    tree.module("core", "_a.py", f"import os\n{statement}\n")
    line = only_violation(tree)
    assert line.startswith(
        "packages/core/src/procession_core/_a.py:2: upward: core (rank 0) may not import queues"
    )


def test_import_of_the_meta_distribution_is_upward(tree: Tree) -> None:
    tree.module("queues", "_a.py", "import procession.managers\n")
    assert "_a.py:1: upward: queues (rank 4) may not import procession" in only_violation(tree)


def test_import_inside_a_function_is_upward_too(tree: Tree) -> None:
    tree.module("core", "_a.py", "def f():\n    def g():\n        import procession_queues\n")
    status, lines = tree.check()
    assert status == 1
    assert [line.split(": ")[1] for line in lines[:-1]] == ["hidden", "upward"]
    assert all("_a.py:3:" in line for line in lines[:-1])


def test_downward_import_inside_a_function_is_hidden(tree: Tree) -> None:
    tree.module(
        "queues", "_a.py", "class C:\n    async def f(self):\n        from procession_core import errors\n"
    )
    assert "_a.py:3: hidden: procession_core" in only_violation(tree)


def test_the_meta_distribution_may_import_lazily(tree: Tree) -> None:
    tree.module("procession", "_a.py", "def f():\n    import procession_core\n")
    assert tree.check()[0] == 0


def test_import_of_what_is_not_a_dependency(tree: Tree) -> None:
    tree.distribution("queues")
    tree.module("queues", "_uses.py", "\n\nimport procession_core\n")
    assert "_uses.py:3: undeclared: procession_core" in only_violation(tree)


def test_import_of_an_undeclared_third_party(tree: Tree) -> None:
    tree.module("core", "_a.py", "import numpy.linalg\n")
    assert "_a.py:1: undeclared: numpy" in only_violation(tree)


def test_an_extra_declares_a_third_party(tree: Tree) -> None:
    tree.distribution("core", more='[project.optional-dependencies]\nfast = ["numpy>=2"]\n')
    tree.module("core", "_a.py", "def f():\n    import numpy\n")
    assert tree.check()[0] == 0


def test_third_party_as_a_dependency(tree: Tree) -> None:
    tree.distribution("core", "numpy>=2")
    assert "packages/core/pyproject.toml:6: dependency: numpy>=2" in only_violation(tree)


def test_dependency_that_the_table_forbids(tree: Tree) -> None:
    tree.distribution("core", "procession-queues==1.2.3")
    assert "pyproject.toml:6: dependency: core may not depend on queues" in only_violation(tree)


@pytest.mark.parametrize("pin", ["procession-core", "procession-core>=1.2.3", "procession-core==1.2.2"])
def test_dependency_that_is_not_pinned(tree: Tree, pin: str) -> None:
    tree.distribution("queues", pin)
    assert f"dependency: {pin} is not pinned to ==1.2.3" in only_violation(tree)


def test_assert_in_shipped_code(tree: Tree) -> None:
    tree.module("core", "_a.py", "def f(x):\n    assert x\n")
    assert "_a.py:2: assert:" in only_violation(tree)


def test_stdlib_multiprocessing_is_never_imported(tree: Tree) -> None:
    tree.module("core", "_portable.py", "def f():\n    from multiprocessing import context\n")
    assert "_portable.py:2: restricted: multiprocessing may be imported nowhere" in only_violation(tree)


def test_restricted_module_needs_the_right_file(tree: Tree) -> None:
    tree.module("core", "_a.py", "import _winapi\n")
    assert "_a.py:1: restricted: _winapi may be imported only in files named *windows*" in only_violation(
        tree
    )


@pytest.mark.parametrize("path", ["_windows.py", "_windows/__init__.py", "_wait_windows.py"])
def test_restricted_module_in_the_right_file(tree: Tree, path: str) -> None:
    tree.module("core", path, "import _winapi\n")
    assert tree.check()[0] == 0


def test_table_that_points_upward(tree: Tree) -> None:
    tree.write(
        "pyproject.toml", TABLE.replace("rank = 0, may_import = []", 'rank = 0, may_import = ["queues"]')
    )
    line = only_violation(tree)
    assert line.startswith("pyproject.toml:2: table: core (rank 0) may import queues (rank 4)")


def test_folder_without_a_row(tree: Tree) -> None:
    tree.distribution("extra")
    assert "packages/extra/pyproject.toml:1: table: extra has no row" in only_violation(tree)


def test_row_without_a_folder(tree: Tree) -> None:
    tree.write("pyproject.toml", TABLE.replace("\n\n", "\npool = { rank = 5, may_import = [] }\n\n", 1))
    assert "pyproject.toml:5: table: packages/pool/pyproject.toml does not exist" in only_violation(tree)


def test_optional_row_needs_no_folder(tree: Tree) -> None:
    row = "\npool = { rank = 5, may_import = [], optional = true }\n\n"
    tree.write("pyproject.toml", TABLE.replace("\n\n", row, 1))
    assert tree.check()[0] == 0


def test_version_that_differs(tree: Tree) -> None:
    tree.distribution("core", version="1.2.2")
    assert "packages/core/pyproject.toml:3: metadata: version is '1.2.2', not '1.2.3'" in only_violation(tree)


def test_missing_py_typed(tree: Tree) -> None:
    (tree.root / "packages/core/src/procession_core/py.typed").unlink()
    assert "metadata: src/procession_core/py.typed is missing" in only_violation(tree)


def test_long_file(tree: Tree) -> None:
    tree.module("core", "_a.py", "pass\n" * 701)
    assert "_a.py:701: size: 701 lines" in only_violation(tree)


def test_syntax_error(tree: Tree) -> None:
    tree.module("core", "_a.py", "\ndef\n")
    assert "_a.py:2: syntax:" in only_violation(tree)


def test_a_row_lists_only_what_is_imported(tree: Tree) -> None:
    tree.module("queues", "_uses.py", "")
    code, lines = tree.check()
    assert code == 1
    assert lines[0] == "packages/queues/pyproject.toml:1: idle: queues may import core and never does"
