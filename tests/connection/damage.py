"""What damaged pickles must not be tested with."""

from __future__ import annotations

import pickletools


def asks_for_much_memory(data):
    """Whether CPython's unpickler would allocate gigabytes for a number in *data*, which is not what is tested here."""
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if "PUT" in opcode.name and isinstance(argument, int) and argument > 100_000:
                return True
    except Exception:  # so far the unpickler reads it too
        pass
    return b"\x96" in data or b"\x8e" in data or b"\x8d" in data
