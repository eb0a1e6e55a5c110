"""One measurement in a process of its own: ``python -m bench.child CASE IMPL --out FILE``.

Started by the runner in a new session, so that whatever a case leaves behind can be killed with it.
Only what spawned children need is imported at the top: they import this module again as their main. And before the
case has run, only what it needs: a fork copies the rest too, and runs its handlers in each child.
"""

from __future__ import annotations

import sys

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


class _Options:
    """What the runner says on the command line. No argparse: see the README."""

    def __init__(self, arguments: list[str]) -> None:
        self.pinned = self.quick = False
        self.out = self.source = self.adapter = ""
        self.min_seconds = 0.3
        rest = iter(arguments)
        words = []
        for word in rest:
            if word in {"--pinned", "--quick"}:
                setattr(self, word[2:], True)
            elif word in {"--out", "--source", "--adapter"}:
                setattr(self, word[2:], next(rest, ""))
            elif word == "--min-seconds":
                self.min_seconds = float(next(rest, ""))
            else:
                words.append(word)
        if len(words) != 2 or words[1].startswith("-"):
            raise SystemExit(
                "usage: bench.child CASE IMPLEMENTATION [--source MODULE] [--adapter NAME] [--out FILE] [--pinned] "
                f"[--quick] [--min-seconds S], not {' '.join(arguments)}"
            )
        self.case, self.implementation = words


def _sample(options: _Options) -> dict[str, object]:
    import os

    from bench import _load, _measure
    from bench.cases import load_case

    if options.pinned:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    mp = None
    try:
        function = load_case(options.case)
        mp = _load.load(options.implementation, options.source or options.implementation, options.adapter)
        if hasattr(mp, "set_start_method"):
            mp.set_start_method("fork", force=True)
        sample = function(mp, _measure.Scale(options.min_seconds, options.quick))
    except _measure.Unsupported as error:
        return {"skipped": str(error)}
    except BaseException as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "numpy":
            return {"skipped": "numpy is not installed"}
        if isinstance(error, AttributeError) and mp is not None and _absent(error, mp):
            return {"skipped": str(error)}
        import traceback

        return {"failed": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()[-3000:]}
    return {"value": sample.value, "unit": sample.unit, "extras": sample.extras}


def main(arguments: list[str] | None = None) -> int:
    """Measure one case once and write the outcome as JSON, to the standard output unless ``--out`` names a file."""
    options = _Options(sys.argv[1:] if arguments is None else arguments)
    outcome = _sample(options)

    import json
    import os

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
