"""Write docs/differences.md from tests/conformance/known_differences.toml.

Usage: ``python tools/differences.py [--check]``; --check writes nothing and ends with status 1 if the page is stale.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "tests" / "conformance" / "known_differences.toml"
PAGE = ROOT / "docs" / "differences.md"

HEAD = """\
<!-- Written by tools/differences.py from tests/conformance/known_differences.toml. -->

# Differences from multiprocessing

CPython's own tests of `multiprocessing` run against procession (`tox -e conformance`). Those below cannot pass, each
for a rule of the design; every other one must.
"""

UNNOTICED = """\
## What no test of CPython notices
"""

MANUAL = """\
## What has changed since the manual of Python 2.6

procession is also held to the first manual of `multiprocessing`, of Python 2.6. Where that and today's documentation
differ, today's holds, and old forms that are in nobody's way still work.

| Section | Manual of 2.6 | Today |
|---|---|---|
"""


def page() -> str:
    """Return the text of the page."""
    parts = [HEAD]
    entries = tomllib.loads(SOURCE.read_text(encoding="utf-8"))
    for entry in entries["difference"]:
        only = f" ({entry['variant']} variant only)" if "variant" in entry else ""
        tests = ", ".join(f"`{name}`" for name in entry["tests"])
        parts.append(
            f"## {entry['rule']}\n\n{entry['instead']}\n\n```python\n{entry['example'].strip()}\n```\n\n"
            f"Tests of CPython that say otherwise{only}: {tests}.\n"
        )
    parts.append(UNNOTICED)
    for entry in entries["unnoticed"]:
        parts.append(f"{entry['what']} {entry['instead']}\n\n```python\n{entry['example'].strip()}\n```\n")
    rows = "".join(f"| {e['section']} | {e['manual']} | {e['today']} |\n" for e in entries["manual"])
    return "\n".join([*parts, f"{MANUAL}{rows}"])


def main(arguments: list[str]) -> int:
    """The command: write the page, or compare it."""
    text = page()
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    if "--check" in arguments:
        print("docs/differences.md is not what tools/differences.py writes; run it")
        return 1
    PAGE.write_text(text, encoding="utf-8")
    print("wrote docs/differences.md")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
