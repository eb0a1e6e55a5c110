"""Write the namespace of the meta-distribution: which name comes from where, for the interpreter and for type checkers.

Usage: ``python tools/gen_namespace.py [--check]``.  PLACES below is the only place to edit; the two files are
``packages/procession/src/procession/_names.py`` and ``__init__.pyi``.  ``--check`` writes nothing and ends with status
1 if a file differs from what would be written.
"""

from __future__ import annotations

import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "packages" / "procession" / "src" / "procession"

PLACES: dict[str, str] = {
    "procession._alias": "install",
    "procession._default": """
        Manager allow_connection_pickling get_context
    """,
    "procession_connection": "Pipe",
    "procession_core": """
        SUBDEBUG SUBWARNING
        AuthenticationError BufferTooShort ProcessError TimeoutError
        ForeignTreeError InheritanceError NotSupportedError OwnerDiedError PeerDiedError ProcessStateError
        ServerDiedError ShutDown StaleHandleError WorkerDiedError
        get_logger log_to_stderr
    """,
    "procession_pool": "Pool get_reusable_pool",
    "procession_process": """
        Process active_children cpu_count current_process forkserver_preload_report freeze_support
        get_all_start_methods get_start_method parent_process set_executable set_forkserver_preload
        set_start_method
    """,
    "procession_queues": "JoinableQueue Queue SimpleQueue",
    "procession_sharedctypes": "Array RawArray RawValue Value",
    "procession_shm": "memory orphaned_segments remove_orphans set_memory_limit set_oob_threshold share",
    "procession_synchronize": "Barrier BoundedSemaphore Condition Event Lock RLock Semaphore",
}

# Attributes that are modules of ours under another name.
MODULES_BY_NAME = {"reducer": "reduction"}

HEADER = '"""{0}\n\nWritten by tools/gen_namespace.py; edit PLACES there.\n"""\n\nfrom __future__ import annotations\n'


def names() -> dict[str, str]:
    """Return name -> module, sorted by name as ruff sorts ``__all__``."""
    table: dict[str, str] = {}
    for module, listed in PLACES.items():
        for name in listed.split():
            if name in table:
                raise SystemExit(f"{name} stands under {table[name]} and under {module}")
            table[name] = module
    return {name: table[name] for name in sorted(table, key=_rank)}


def _rank(name: str) -> tuple[int, str]:
    # Constants first, then classes, then functions: isort's order.
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def modules() -> list[str]:
    """Return the public submodules that exist."""
    found = [path.stem for path in PACKAGE.glob("*.py")] + [
        p.parent.name for p in PACKAGE.glob("*/__init__.py")
    ]
    return sorted(name for name in found if not name.startswith("_"))


def table_text() -> str:
    """Return the text of ``_names.py``."""
    lines = [HEADER.format("Which module each public name comes from.")]
    lines += ['__all__ = ("MODULES", "MODULES_BY_NAME", "NAMES")', "", "NAMES = {"]
    lines += [f'    "{name}": "{module}",' for name, module in names().items()]
    lines += ["}", "", "MODULES = ("]
    lines += [f'    "{name}",' for name in modules()]
    lines += [")", "", "MODULES_BY_NAME = {"]
    lines += [f'    "{name}": "{module}",' for name, module in MODULES_BY_NAME.items()]
    lines += ["}", ""]
    return "\n".join(lines)


def stub_text() -> str:
    """Return the text of ``__init__.pyi``."""
    lines = ["# ruff: noqa: A004, F401, I001", HEADER.format("The namespace as type checkers see it.")]
    by_module: dict[str, list[str]] = {}
    for name, module in names().items():
        by_module.setdefault(module, []).append(name)
    own = [f"from . import {name} as {name}" for name in modules()]
    own += [f"from . import {module} as {name}" for name, module in MODULES_BY_NAME.items()]
    foreign: list[str] = []
    for module in sorted(by_module):
        imports = [f"from {module} import {name} as {name}" for name in by_module[module]]
        if module.startswith("procession."):
            own += [line.replace("from procession", "from ", 1) for line in imports]
        else:
            foreign += imports
    lines += [*foreign, "", *own, "", "__all__: tuple[str, ...]", ""]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """The command: write the files, or compare them."""
    texts = {PACKAGE / "_names.py": table_text(), PACKAGE / "__init__.pyi": stub_text()}
    stale = [
        path for path, text in texts.items() if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.name} is not what tools/gen_namespace.py writes; run it")
        return 1 if stale else 0
    for path in stale:
        path.write_text(texts[path], encoding="utf-8")
        print(f"wrote {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
