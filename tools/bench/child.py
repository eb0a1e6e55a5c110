"""One measurement in a process of its own: ``python -m bench.child CASE IMPL --out FILE``.

Started by the runner in a new session, so that whatever a case leaves behind can be killed with it.
Only what spawned children need is imported at the top: they import this module again as their main.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


SPOKEN = 23


def noop() -> None:
    """What the process.* rows run: a function of the main module, as in most programs."""


def speak() -> None:
    """Exit with a status that only this function gives: proof that the target ran."""
    sys.exit(SPOKEN)


def _absent(error: AttributeError, mp: object) -> bool:
    """Whether the package itself lacks a name that the case asks for; an error inside of it is none."""
    if error.obj is mp or str(error).startswith(f"module {getattr(mp, '__name__', '')!r} has no attribute"):
        return True
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    asked_by = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return isinstance(error.obj, type(sys)) and asked_by.startswith("bench.")


def _sample(options: argparse.Namespace) -> dict[str, object]:
    import os
    import traceback

    from bench import _impls, _measure
    from bench.cases import load_case

    if options.pinned:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    mp = None
    try:
        function = load_case(options.case)
        mp = _impls.load(options.implementation)
        if hasattr(mp, "set_start_method"):
            mp.set_start_method("fork", force=True)
        sample = function(mp, _measure.Scale(options.min_seconds, options.quick))
    except _measure.Unsupported as error:
        return {"skipped": str(error)}
    except ModuleNotFoundError as error:
        if error.name == "numpy":
            return {"skipped": "numpy is not installed"}
        return {"failed": f"ModuleNotFoundError: {error}", "traceback": traceback.format_exc()[-3000:]}
    except AttributeError as error:
        if mp is not None and _absent(error, mp):
            return {"skipped": str(error)}
        return {"failed": f"AttributeError: {error}", "traceback": traceback.format_exc()[-3000:]}
    except BaseException as error:
        return {"failed": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()[-3000:]}
    return {"value": sample.value, "unit": sample.unit, "extras": sample.extras}


def main(arguments: list[str] | None = None) -> int:
    """Measure one case once and write the outcome as JSON."""
    import argparse
    import json
    import os

    parser = argparse.ArgumentParser(prog="bench.child", description=__doc__)
    parser.add_argument("case")
    parser.add_argument("implementation")
    parser.add_argument("--out", help="the file for the outcome; the standard output if absent")
    parser.add_argument("--pinned", action="store_true", help="run on one CPU")
    parser.add_argument("--quick", action="store_true", help="the smaller sizes")
    parser.add_argument("--min-seconds", type=float, default=0.3, help="how long a timed stretch lasts")
    options = parser.parse_args(arguments)
    outcome = _sample(options)
    text = json.dumps(outcome)
    if options.out:
        with open(options.out, "w", encoding="utf-8") as file:
            file.write(text)
    else:
        print(text)
    if "failed" in outcome:
        # At once: the exit of a failed case might wait for members that wait for each other.
        sys.stdout.flush()
        os._exit(1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
