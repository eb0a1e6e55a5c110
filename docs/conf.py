"""Sphinx: the documentation. Built by ``tox -e docs`` with every warning an error."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "tools"))

import write_docs  # noqa: E402

project = "procession"
author = "procession developers"
copyright = "the procession developers"
version = release = (ROOT / "VERSION").read_text(encoding="utf-8").strip()

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
html_theme = "furo"
html_title = f"procession {version}"
exclude_patterns = ["_build", "examples", "generated/_*"]
source_suffix = {".md": "markdown"}
default_role = "py:obj"

myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 3

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": True, "show-inheritance": True}
add_module_names = False
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# A bare name in a signature may stand for several classes of that name.
suppress_warnings = ["ref.python"]

# The standard library's names, type variables and private names in signatures have no page here.
nitpick_ignore_regex = [
    (r"py:.*", r"(?!procession).*"),
    (r"py:.*", r"procession\w*(\.\w+)*\._.*"),
    (r"py:.*", r"procession_native\..*"),
    (r"py:.*", r"procession\.[A-Z]\w*"),
]


def setup(app: object) -> None:
    """Write the pages that are made from the sources, before Sphinx looks for pages."""
    app.connect("builder-inited", lambda _: write_docs.main([]))  # type: ignore[attr-defined]
