"""How a child that is not a fork gets the parent's ``__main__``.

By its module name (``-m``), by its file (a script), or not at all (``-c``, stdin, an interactive session, a
notebook; and ``__main__.py`` of a package, directory or zip file, which has no ``if __name__ == "__main__"``,
so that importing it would run the program again). A frozen program is its own interpreter: its children have
``__main__`` as far as it ran before ``freeze_support()``. In the child it is called ``__mp_main__``, and ``__main__``
is the same module.
"""

from __future__ import annotations

import os
import sys

from procession_core import runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    Main = tuple[str, str] | None


def describe() -> Main:
    """Return ("name", module), ("path", file), ("frozen", "__main__"); None where no child can import ``__main__``."""
    module = sys.modules.get("__main__")
    if module is None:
        return None
    sys.modules.setdefault("__mp_main__", module)  # what children send back calls its module so
    if runtime.main is not None:
        return runtime.main if runtime.main[1] else None  # a child: the main of its parent
    if getattr(sys, "frozen", False):
        return ("frozen", "__main__")
    name = getattr(getattr(module, "__spec__", None), "name", None)
    if name is not None:
        return None if name == "__main__" or name.endswith(".__main__") else ("name", name)
    path = getattr(module, "__file__", None)
    if not isinstance(path, str):
        return None
    if not os.path.isabs(path) and runtime.original_dir is not None:
        path = os.path.join(runtime.original_dir, path)
    path = os.path.normpath(path)
    stem, extension = os.path.splitext(os.path.basename(path))
    if stem in ("__main__", "ipython") or (not extension.startswith(".py") and not os.path.isfile(path)):
        return None
    return ("path", path) if os.path.isfile(path) else None


def import_main(main: Main) -> None:
    """In a child: make ``__main__`` what *main* says. Raises what its code raises, FileNotFoundError if it is
    gone.
    """
    runtime.main = main if main is not None else ("", "")
    if main is None:
        return
    kind, where = main
    if kind == "frozen":
        sys.modules["__mp_main__"] = sys.modules["__main__"]
        return
    present = sys.modules.get("__mp_main__")
    if present is not None and getattr(present, "__procession_main__", None) == where:
        return  # the zygote has imported it
    _import_by_name(where) if kind == "name" else _import_by_path(where)


_importing_in = 0
"""The process that is running the parent's ``__main__`` just now; a fork of it is not."""


def check_not_importing() -> None:
    """Raise RuntimeError while this child runs its parent's ``__main__``: the child that it wants to start would
    run that too, start a child itself, and so on without end.
    """
    if _importing_in and _importing_in == os.getpid():
        raise RuntimeError(
            "An attempt has been made to start a new process before the current process has finished its "
            "bootstrapping phase: this child is importing the main module, and the main module starts processes "
            "when it is imported. Put what starts them below\n\n    if __name__ == '__main__':\n\nThe children of "
            "spawn and forkserver import the main module to find their functions."
        )


def _run(module: ModuleType, code: Any) -> None:
    global _importing_in
    before = sys.modules.get("__main__")
    _importing_in = os.getpid()
    sys.modules["__main__"] = sys.modules["__mp_main__"] = module
    try:
        exec(code, module.__dict__)
    except BaseException:
        if before is not None:
            sys.modules["__main__"] = before
        sys.modules.pop("__mp_main__", None)
        raise
    finally:
        _importing_in = 0


def _import_by_path(path: str) -> None:
    # Without runpy, which costs a fresh child 4 ms of imports. The loaders are those the import system itself
    # uses.
    from _frozen_importlib_external import SourceFileLoader, SourcelessFileLoader

    loader: Any
    if path.endswith(".pyc"):
        loader = SourcelessFileLoader("__mp_main__", path)
        code = loader.get_code("__mp_main__")
    else:
        loader = SourceFileLoader("__mp_main__", path)
        code = loader.source_to_code(loader.get_data(path), path)
    module = type(sys)("__mp_main__")
    module.__dict__.update(
        __procession_main__=path,
        __file__=path,
        __cached__=None,
        __loader__=loader,
        __package__="",
        __spec__=None,
    )
    _run(module, code)


def _find_spec(name: str) -> Any:
    # importlib.util has a function for it, and costs a fresh child six more modules.
    present = sys.modules.get(name)
    if present is not None and present.__spec__ is not None:
        return present.__spec__
    parent = name.rpartition(".")[0]
    if parent:
        __import__(parent)
    path = sys.modules[parent].__path__ if parent else None
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        spec = None if find is None else find(name, path)
        if spec is not None:
            return spec
    return None


def _import_by_name(name: str) -> None:
    spec = _find_spec(name)
    if spec is None or spec.loader is None:
        raise ImportError(
            f"the parent's __main__ is module {name!r}, which cannot be found on sys.path", name=name
        )
    code = spec.loader.get_code(name)
    module = type(sys)("__mp_main__")
    module.__dict__.update(
        __procession_main__=name,
        __file__=spec.origin,
        __cached__=spec.cached,
        __loader__=spec.loader,
        __package__=spec.parent,
        __spec__=spec,
    )
    _run(module, code)
