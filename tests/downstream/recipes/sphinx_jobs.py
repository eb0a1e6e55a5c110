# requires: sphinx>=7
"""sphinx-build -j 2 on thirty small pages."""

from __future__ import annotations

import hashlib
import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    source = Path("source")
    source.mkdir()
    (source / "conf.py").write_text("project = 'recipe'\nhtml_theme = 'basic'\nhtml_copy_source = False\n")
    names = [f"page{number:02}" for number in range(30)]
    pages = "\n".join(f"   {name}" for name in names)
    (source / "index.rst").write_text(f"Index\n=====\n\n.. toctree::\n\n{pages}\n")
    for name in names:
        (source / f"{name}.rst").write_text(f"{name}\n{'=' * len(name)}\n\nSee :doc:`index`.\n")
    sys.argv = ["sphinx-build", "-q", "-j", "2", "-b", "html", "source", "out"]
    try:
        runpy.run_module("sphinx", run_name="__main__")
    except SystemExit as end:
        print("status", end.code)
    for page in sorted(Path("out").glob("*.html")):
        print(page.name, hashlib.sha256(page.read_bytes()).hexdigest())
