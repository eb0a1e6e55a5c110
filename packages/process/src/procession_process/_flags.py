"""The command line of a child's interpreter: what the parent's flags were."""

from __future__ import annotations

import sys

# sys.flags field -> letter. A field of n repeats the letter n times.
_LETTERS = {
    "debug": "d",
    "dont_write_bytecode": "B",
    "no_site": "S",
    "verbose": "v",
    "bytes_warning": "b",
    "quiet": "q",
    "optimize": "O",
}

# -X options that a program's behaviour depends on; the others (presite, ...) are for the start of the parent
# alone.
_OPTIONS = (
    "context_aware_warnings",
    "cpu_count",
    "dev",
    "faulthandler",
    "frozen_modules",
    "gil",
    "importtime",
    "int_max_str_digits",
    "no_debug_ranges",
    "perf",
    "perf_jit",
    "pycache_prefix",
    "showrefcount",
    "thread_inherit_context",
    "tlbc",
    "tracemalloc",
    "utf8",
    "warn_default_encoding",
)


def interpreter_arguments() -> list[str]:
    """Return the options that give a child the flags, warning filters and -X options of this interpreter."""
    flags = sys.flags
    arguments = []
    for field, letter in _LETTERS.items():
        value = getattr(flags, field)
        if value > 0:
            arguments.append("-" + letter * value)
    if flags.isolated:
        arguments.append("-I")
    else:
        if flags.ignore_environment:
            arguments.append("-E")
        if flags.no_user_site:
            arguments.append("-s")
        if getattr(flags, "safe_path", False):
            arguments.append("-P")
    options = sys._xoptions
    dev = bool(options.get("dev"))
    for option in sys.warnoptions:
        if not (dev and option == "default") and not (
            flags.bytes_warning and option.endswith("::BytesWarning")
        ):
            arguments.append("-W" + option)
    for name in _OPTIONS:
        value = options.get(name)
        if value is True:
            arguments += ["-X", name]
        elif value is not None and value is not False:
            arguments += ["-X", f"{name}={value}"]
    return arguments
