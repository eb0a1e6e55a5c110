"""Write the common version into every distribution.

Usage: ``python tools/set_version.py [NEW]``.  The version lives in the file VERSION; with NEW it is changed
there first. Every ``version`` and every ``==`` pin between the distributions follows.  tools/check_layers.py
fails where they differ.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PIN = re.compile(r'("procession(?:-[a-z]+)?(?:\[[a-z,]+\])?==)[^"]+(")')
VERSION = re.compile(r'(?m)^(version = ")[^"]+(")')


def main(arguments: list[str]) -> int:
    """The command: propagate the version."""
    place = ROOT / "VERSION"
    if arguments:
        if not re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?(\.dev\d+)?", arguments[0]):
            print(
                f"{arguments[0]!r} is not a version; write it as 1.2.3, 1.2.3rc1 or 1.2.3.dev0",
                file=sys.stderr,
            )
            return 2
        place.write_text(f"{arguments[0]}\n", encoding="utf-8")
    version = place.read_text(encoding="utf-8").strip()
    for path in sorted((ROOT / "packages").glob("*/pyproject.toml")):
        old = path.read_text(encoding="utf-8")
        new = VERSION.sub(rf"\g<1>{version}\g<2>", PIN.sub(rf"\g<1>{version}\g<2>", old))
        if new != old:
            path.write_text(new, encoding="utf-8")
            print(f"{path.relative_to(ROOT)}: {version}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
