"""Write the pages of the documentation that are made from the sources: reference, figures.

Usage: ``python tools/write_docs.py``; docs/conf.py does it before each build.  The pages go to docs/generated/,
which is not in the repository.  Needs the distributions to be importable.
"""

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "generated"
RESULTS = ROOT / "docs" / "performance" / "results.json"

MODULES = (
    "procession_process",
    "procession_pool",
    "procession_queues",
    "procession_synchronize",
    "procession_sharedctypes",
    "procession_shm",
    "procession_connection",
    "procession_managers",
    "procession_dummy",
    "procession_cluster",
    "procession_core",
    "procession_native",
)


def _directive(module: str, name: str, found: object) -> list[str]:
    options: list[str] = []
    if getattr(found, "__module__", "") == "builtins":
        return [f".. py:data:: {name}", "", f"   The built-in ``{name}``.", ""]
    if inspect.isclass(found):
        kind = "autoexception" if issubclass(found, BaseException) else "autoclass"
        if kind == "autoclass" and _from_core(found):
            options = ["   :inherited-members:"]
    elif inspect.ismodule(found) or not callable(found):
        # An object's own docstring is that of its class.
        about = f"{found!r}" if isinstance(found, str | bytes | int) else type(found).__name__
        return [f".. py:data:: {name}", "", f"   ``{about}``", ""]
    else:
        kind = "autofunction"
    home = getattr(found, "__module__", module).partition(".")[0]
    if home != module and home in MODULES:
        options.append("   :no-index:")
    return [f".. {kind}:: {module}.{name}", *options, ""]


def _from_core(found: type) -> bool:
    # The C core's types have no page of their own: what they have is shown where it is used.
    return any(base.__module__.startswith("procession_native") for base in found.__mro__[1:])


def reference_page(module: str) -> str | None:
    """Return the page of one distribution's public names; None if it is not installed or has none."""
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        return None
    names = sorted(getattr(loaded, "__all__", ()), key=str.lower)
    if not names:
        return None
    title = "procession" if module == "procession" else module
    summary = inspect.cleandoc(loaded.__doc__ or "").split("\n\n")[0].replace("\n", " ")
    lines = [f"# {title}", "", summary, "", "```{eval-rst}", f".. py:module:: {module}", ""]
    for name in names:
        lines += _directive(module, name, getattr(loaded, name))
    return "\n".join([*lines, "```", ""])


def names_page() -> str:
    """Return the table of the names of the package ``procession``, each with the page that describes it."""
    table = importlib.import_module("procession._names").NAMES
    lines = ["# procession: every name", "", "| name | what |", "| --- | --- |"]
    for name, module in sorted(table.items(), key=lambda item: item[0].lower()):
        found = getattr(importlib.import_module(module), name)
        summary = first_sentence(found)
        shown = f"procession.{name}"
        target = (
            f"`{shown}`" if module.startswith("procession.") else f"{{py:obj}}`{shown} <{module}.{name}>`"
        )
        lines.append(f"| {target} | {summary} |")
    return "\n".join([*lines, ""])


def first_sentence(found: object) -> str:
    """Return the first sentence of a docstring for a table's cell."""
    if not callable(found):
        return f"`{found!r}`"
    text = " ".join((inspect.getdoc(found) or "").split("\n\n")[0].split())
    end = text.find(". ")
    text = text if end < 0 else text[: end + 1]
    return text.replace("``", "`").replace("|", "\\|")


def figures_page() -> str:
    """Return the table of tools/bench for the stored results, or where figures come from if there are none."""
    if not RESULTS.exists():
        return (
            "No results are stored in this tree. `tox -e bench -- --json docs/performance/results.json` "
            "makes them on your machine; the next build of these pages shows them.\n"
        )
    done = subprocess.run(
        [sys.executable, "-m", "tools.bench", "table", str(RESULTS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    machine = json.loads(RESULTS.read_text(encoding="utf-8")).get("machine")
    about = ""
    if isinstance(machine, dict):
        about = "\n".join(["| | |", "| --- | --- |", *(f"| {k} | {v} |" for k, v in machine.items()), "", ""])
    return about + done.stdout


def pages() -> dict[str, str]:
    """Return file name -> text of all generated pages."""
    found = {"names.md": names_page(), "_figures.md": figures_page()}
    listed = []
    for module in MODULES:
        text = reference_page(module)
        if text is not None:
            found[f"{module}.md"] = text
            listed.append(module)
    about = "Made from the docstrings. Every public name is listed."
    found["index.md"] = "\n".join(["# Reference", "", about, "", "```{toctree}", "names", *listed, "```", ""])
    return found


def main(arguments: list[str]) -> int:
    """The command: write what has changed, remove what is no longer made."""
    TARGET.mkdir(exist_ok=True)
    wanted = pages()
    for path in TARGET.glob("*.md"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        path = TARGET / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
