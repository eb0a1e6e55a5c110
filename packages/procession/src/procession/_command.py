"""The command line: what ``python`` itself would do with the same arguments, after ``install()``.

The program runs in the module ``__main__`` that the interpreter made, emptied first: names, exit handlers, unfinished
threads and the order of the end are then those of a direct start.
"""

from __future__ import annotations

import io
import os
import sys

from ._alias import ALIAS, install
from ._lazy import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType, TracebackType
    from typing import Any, NoReturn

__all__ = ("USAGE", "UsageError", "main")

USAGE = """\
usage: python -m procession SCRIPT [argument ...]
       python -m procession -m MODULE [argument ...]
       python -m procession -c CODE [argument ...]
       python -m procession --doctor [--json] [--remove] [--strict]

Runs the program as `python` would, with `multiprocessing` and all its submodules replaced by procession: in this
process and in every process that procession launches. SCRIPT may be a folder or zip file with a __main__.py.
--doctor examines this machine and installation instead; it is the command `procession doctor`.
"""

_HERE = os.path.dirname(os.path.abspath(__file__))


class UsageError(SystemExit):
    """The command line is not one that can be run; exit code 2."""


def main() -> None:
    """Run the program that ``sys.argv`` names. Raises SystemExit as the program does, 2 for a wrong command line."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE, end="", file=sys.stdout if arguments else sys.stderr)
        raise SystemExit(0 if arguments else 2)
    if arguments[0] == "--doctor":
        raise SystemExit(load("procession._doctor").doctor(arguments[1:]))
    install()
    try:
        code, settings = _find(arguments)
        module = sys.modules["__main__"]
        _become(module, settings)
        exec(code, module.__dict__)
    except SystemExit:
        raise
    except BaseException as error:
        _end_with(error)


def _usage_error(text: str) -> NoReturn:
    print(f"python -m procession: {text}\n\n{USAGE}", end="", file=sys.stderr)
    raise UsageError(2)


def _find(arguments: list[str]) -> tuple[CodeType, dict[str, Any]]:
    """Return the program's code and the attributes of its ``__main__``; set ``sys.argv`` and ``sys.path[0]``."""
    first, rest = arguments[0], arguments[1:]
    if first in ("-m", "-c"):
        if not rest:
            _usage_error(f"argument expected for {first}")
        return _module(rest[0], rest[1:]) if first == "-m" else _code(rest[0], rest[1:])
    if first == "--":
        if not rest:
            _usage_error("a script is expected after --")
        first, rest = rest[0], rest[1:]
    elif first.startswith("-") and first != "-":
        _usage_error(f"unknown option {first}; options of the interpreter stand before -m procession")
    return _script(first, rest)


def _set_path(directory: str) -> None:
    # `python -m procession` has put the current directory first, unless it runs with -P or -I.
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = directory


def _code(text: str, rest: list[str]) -> tuple[CodeType, dict[str, Any]]:
    sys.argv[:] = ["-c", *rest]
    _set_path("")
    if sys.version_info >= (3, 13):
        # From 3.13 on tracebacks show the lines of a program given by -c, which the interpreter notes here.
        import linecache

        linecache.cache["<string>"] = (len(text), None, text.splitlines(keepends=True), "<string>")
    return compile(text, "<string>", "exec", dont_inherit=True), {}


def _script(path: str, rest: list[str]) -> tuple[CodeType, dict[str, Any]]:
    sys.argv[:] = [path, *rest]
    if path == "-":
        _set_path("")
        return compile(sys.stdin.read(), "<stdin>", "exec", dont_inherit=True), {"__file__": "<stdin>"}
    from pkgutil import get_importer

    if get_importer(path) is not None:  # a folder or a zip file
        return _folder(path)
    try:
        with io.open_code(os.path.abspath(path)) as file:
            source = file.read()
    except OSError as error:
        reason = f"[Errno {error.errno}] {error.strerror}"
        print(f"{sys.executable}: can't open file {os.path.abspath(path)!r}: {reason}", file=sys.stderr)
        raise UsageError(2) from None
    _set_path(os.path.dirname(os.path.realpath(path)))
    from importlib.machinery import SourceFileLoader, SourcelessFileLoader

    absolute = os.path.join(os.getcwd(), path)  # not normalized: Python does not either
    settings: dict[str, Any] = {"__file__": absolute, "__cached__": None}
    if path.endswith(".pyc"):
        loader = SourcelessFileLoader("__main__", absolute)
        found = loader.get_code("__main__")
        if found is None:
            raise ImportError(
                f"no code object in {path}: it is of another Python, or damaged; run its source"
            )
        return found, {**settings, "__loader__": loader}
    settings["__loader__"] = SourceFileLoader("__main__", absolute)
    return compile(source, absolute, "exec", dont_inherit=True), settings


def _folder(path: str) -> tuple[CodeType, dict[str, Any]]:
    # Under -P and -I too: here the path is the program.
    path = os.path.abspath(path)
    if getattr(sys.flags, "safe_path", False):
        sys.path.insert(0, path)
    else:
        sys.path[0] = path
    return _spec("__main__", f"can't find '__main__' module in {sys.argv[0]!r}", "")


def _module(name: str, rest: list[str]) -> tuple[CodeType, dict[str, Any]]:
    sys.argv[:] = ["-m", *rest]
    found = _spec(name, f"No module named {name}", None)
    sys.argv[0] = found[1]["__file__"]
    return found


def _spec(name: str, otherwise: str, package: str | None) -> tuple[CodeType, dict[str, Any]]:
    import importlib.util

    before = sys.modules.pop("__main__") if name == "__main__" else None
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            otherwise = (
                f"No module named {name}.__main__; {name!r} is a package and cannot be directly executed"
            )
            spec = importlib.util.find_spec(f"{name}.__main__")
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        spec = None
    finally:
        if before is not None:
            sys.modules["__main__"] = before
    loader: Any = spec.loader if spec is not None else None
    try:
        code = loader.get_code(spec.name) if spec is not None and hasattr(loader, "get_code") else None
    except ImportError:
        if name != ALIAS:
            raise
        code = None
    if spec is None or code is None:
        print(f"{sys.executable}: {otherwise}", file=sys.stderr)
        raise SystemExit(1)
    return code, {
        "__file__": spec.origin,
        "__cached__": spec.cached,
        "__loader__": loader,
        "__package__": spec.parent if package is None else package,
        "__spec__": spec,
    }


def _become(module: ModuleType, settings: dict[str, Any]) -> None:
    names = module.__dict__
    builtins = names.get("__builtins__")
    if "__cached__" not in names:  # no module has it from Python 3.15 on
        settings.pop("__cached__", None)
    if "__annotations__" in names:  # from Python 3.14 on made when first asked for
        settings["__annotations__"] = {}
    names.clear()
    names.update(__name__="__main__", __doc__=None, __package__=None, __loader__=None, __spec__=None)
    names.update(__builtins__=builtins)
    names.update(settings)


def _own(traceback: TracebackType | None) -> bool:
    if traceback is None:
        return False
    name = traceback.tb_frame.f_code.co_filename
    return name.startswith(_HERE) or name == "<frozen runpy>" or os.path.basename(name) == "runpy.py"


def _end_with(error: BaseException) -> NoReturn:
    """Report *error* as the interpreter does, without the frames of this module, and let it end the process."""
    traceback = error.__traceback__
    while _own(traceback):
        traceback = traceback.tb_next  # type: ignore[union-attr]
    error.__traceback__ = traceback
    sys.excepthook(type(error), error, traceback)
    # It goes on to the interpreter, which knows what exit status it means; but it has been reported.
    sys.excepthook = lambda *_: None
    raise error
