"""Several interpreters in one process: the core belongs to the first that imports it."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from procession_native import core

pytestmark = [pytest.mark.native_only]

interpreters: Any
try:
    import _xxsubinterpreters as interpreters  # 3.11 and 3.12
except ImportError:
    try:
        import _interpreters as interpreters  # from 3.13 on
    except ImportError:
        interpreters = None

IMPORTED = """
import procession_native
with open(path, "w") as said:
    said.write(procession_native.build_info() + (" core" if procession_native.core else ""))
"""


@pytest.mark.skipif(interpreters is None, reason="this Python has no module for it")
def test_another_interpreter_has_the_portable_variant_and_the_types_stay(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("PROCESSION_NATIVE", raising=False)
    said = tmp_path / "said"
    there = interpreters.create()
    try:
        run = getattr(interpreters, "run_string", None) or interpreters.exec
        run(
            there,
            f"import sys; sys.path[:] = {sys.path!r}; path = {str(said)!r}\n{IMPORTED}",
        )
    finally:
        interpreters.destroy(there)
    assert said.read_text().startswith("portable,")
    block = core.Block(8)
    assert type(core.open_handle(block.handle())) is type(block)
