"""Named segments that no process uses any more: what a killed process tree leaves behind."""

from __future__ import annotations

from ._segment import PREFIX, list_segments, remove_segment, unmapped_segments


def orphaned_segments(*, all_names: bool = False) -> list[str]:
    """Return the names of shared-memory segments that no visible process has mapped.

    Only names that this library made up, or with *all_names* every name in the system. A segment may be
    unmapped and still wanted by somebody who will attach to it: ask before removing. Processes of other
    users are not seen without privileges. Linux only; elsewhere the list is empty.
    """
    prefix = PREFIX.lstrip("/")
    return unmapped_segments([n for n in list_segments() if all_names or n.startswith(prefix)])


def remove_orphans(names: list[str]) -> list[str]:
    """Remove the segments *names* and return those that were there; others are passed over.

    Raises PermissionError for a segment of another user.
    """
    removed = []
    for name in names:
        try:
            remove_segment("/" + name)
        except FileNotFoundError:
            continue
        removed.append(name)
    return removed
