"""The types of the core refuse what they do not take, whatever they are made with."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from procession_native import core

pytestmark = pytest.mark.native_only
TYPES = [] if core is None else [kind for _, kind in inspect.getmembers(core, inspect.isclass)]


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.__name__)
def test_unknown_keywords_are_refused(kind: Any) -> None:
    for positional in ((), (1,)):
        with pytest.raises(TypeError):
            kind(*positional, nonsense=1)
