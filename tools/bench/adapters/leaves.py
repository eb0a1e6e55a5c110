"""The leaf distributions without the meta-distribution: what one leaf reaches on its own.

The processes that a case needs beside what it measures come from the stdlib as long as there is no
procession_process; every other name must come from a leaf, or the case is skipped.
"""

from __future__ import annotations

import importlib
import importlib.util
import multiprocessing
import os
from types import ModuleType, SimpleNamespace
from typing import Any

from bench._measure import Unsupported

_LEAVES = ("process", "synchronize", "queues", "sharedctypes", "connection", "pool", "managers")
_MODULES = {"connection": "procession_connection", "shared_memory": "procession_shm"}


class Leaves:
    """Looks each name up in the leaves, as the meta-distribution would."""

    def __init__(self) -> None:
        self._found = [
            importlib.import_module(f"procession_{leaf}")
            for leaf in _LEAVES
            if importlib.util.find_spec(f"procession_{leaf}") is not None
        ]
        self._own_processes = self._lookup("Process") is not None

    def _lookup(self, name: str) -> Any:
        return next((getattr(module, name) for module in self._found if hasattr(module, name)), None)

    def __getattr__(self, name: str) -> Any:
        found = self._lookup(name)
        if found is None and name in {"Process", "active_children", "cpu_count"}:
            found = getattr(multiprocessing, name)
        if found is None:
            raise Unsupported(f"no leaf has {name}")
        self.__dict__[name] = found
        return found

    def submodule(self, name: str) -> ModuleType:
        """The leaf that is the documented module ``name``."""
        if name not in _MODULES:
            raise Unsupported(f"no leaf is the module {name}")
        return importlib.import_module(_MODULES[name])

    def set_start_method(self, method: str, force: bool = False) -> None:
        """For the leaf's processes, or for the stdlib's where they stand in."""
        module = importlib.import_module("procession_process") if self._own_processes else multiprocessing
        module.set_start_method(method, force=force)

    def get_context(self, method: str) -> Any:
        """An object with the classes of one start method."""
        classes = {"fork": "ForkProcess", "spawn": "SpawnProcess", "forkserver": "ForkServerProcess"}
        process = self._lookup(classes[method])
        if process is None:
            raise Unsupported(f"no leaf has {classes[method]}")
        context = SimpleNamespace(
            Process=process, SimpleQueue=self._lookup("SimpleQueue"), cpu_count=os.cpu_count
        )
        context.Pool = lambda processes: self.Pool(processes, context=context)
        return context

    def Manager(self) -> Any:
        """A started SyncManager."""
        manager = self.SyncManager()
        manager.start()
        return manager


def load(name: str) -> Any:
    """The leaves that are there."""
    return Leaves()
