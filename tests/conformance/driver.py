"""Runs CPython's own multiprocessing tests in one process; started by runner.py as `python -m procession driver.py`.

Arguments: the start method, the suite, then `list`, or `run` with a file of test names and the descriptor to report on.
Spawned children import this file as their __main__, so what makes the test classes stands at the top level.
"""

from __future__ import annotations

import fnmatch
import json
import os
import sys
import unittest
import weakref

sys.modules["cloudpickle"] = None  # type: ignore[assignment]  # some tests rely on what plain pickling refuses
METHOD, SUITE = sys.argv[1], sys.argv[2]


def provide() -> None:
    """What the tests' fixtures peek at."""
    import multiprocessing
    import multiprocessing.process
    import multiprocessing.resource_tracker
    import multiprocessing.shared_memory

    if not hasattr(multiprocessing.process, "_dangling"):
        multiprocessing.process._dangling = weakref.WeakSet()
    import procession_shm._shared_memory as segments

    # Tests replace what makes names and look at the platform: they must reach the module that uses them.
    segments.ShareableList = multiprocessing.shared_memory.ShareableList
    segments.__all__ = multiprocessing.shared_memory.__all__
    multiprocessing.shared_memory = sys.modules["multiprocessing.shared_memory"] = segments
    if not hasattr(multiprocessing.resource_tracker, "_CLEANUP_FUNCS"):
        multiprocessing.resource_tracker._CLEANUP_FUNCS = {"noop": lambda name: None}
    # From 3.14 on: which of two formats goes through the tracker's pipe.
    if not hasattr(multiprocessing.resource_tracker._resource_tracker, "_use_simple_format"):
        multiprocessing.resource_tracker._resource_tracker._use_simple_format = True


if sys.modules.get("multiprocessing") is sys.modules.get("procession"):
    provide()


def alias_scripts() -> None:
    """Have the programs that tests write and run be run as this one is."""
    from test.support import script_helper

    start = script_helper.run_python_until_end

    def aliased(*args, **env):
        env.pop("__isolated", None)
        env.pop("__cleanenv", None)
        if os.environ.get("CONFORMANCE_PLAIN") != "1":
            count = 0  # the interpreter's own options come before -m
            while args[count].startswith("-") and args[count] not in ("-c", "-m", "-"):
                count += 2 if args[count] in ("-W", "-X") else 1
            args = (*args[:count], "-m", "procession", *args[count:])
        if "-S" in args:  # without the folder in which the package is installed
            import procession

            folders = [
                os.path.dirname(os.path.dirname(procession.__file__)),
                os.environ.get("PYTHONPATH", ""),
            ]
            env.setdefault("PYTHONPATH", os.pathsep.join(filter(None, folders)))
        # Without any variable it would add -E, and PYTHONPATH with the package would not count.
        return start(*args, __isolated=False, **{"CONFORMANCE": "1", **env})

    script_helper.run_python_until_end = aliased


# The modules whose tests start processes by multiprocessing or look into it, and those whose tests fork by themselves,
# with what to take of each. Not test_venv: it runs Pythons in which no package is installed.
OTHERS = {
    "test_asyncio.test_events": ("*.test_get_event_loop*", "*.test_run_in_executor*"),
    "test_asyncio.test_unix_events": ("TestFork.*",),
    "test_compileall": ("*worker*", "*.test_larger_than_32_bit_times"),
    "test_fcntl": ("*.test_lockf*",),
    "test_fork1": ("*",),
    "test_genericalias": ("*",),
    "test_importlib.test_threaded_import": ("*",),
    "test_logging": (
        "QueueHandlerTest.*",
        "QueueListenerTest.*",
        "LogRecordTest.*",
        "*queue*",
        "*.test_post_fork*",
    ),
    "test_pickle": ("CompatPickleTests.*",),
    "test_re": ("*.test_regression_gh94675",),
    "test_socketserver": ("*.test_Forking*", "*.test_forking*"),
    "test_threading": ("*fork*", "ThreadJoinOnShutdown.*", "SubinterpThreadingTests.*"),
    "test_tracemalloc": ("*.test_fork",),
}
PICKED: dict[str, tuple[str, ...]] = {}

if SUITE == "main_handling":
    from test import test_multiprocessing_main_handling as _suite

    alias_scripts()
    for _name, _value in list(vars(_suite).items()):
        if isinstance(_value, type) and issubclass(_value, unittest.TestCase):
            globals()[_name] = _value
elif SUITE == "others":
    import contextlib as _contextlib
    import importlib as _importlib

    alias_scripts()
    for _part, _patterns in OTHERS.items():
        with _contextlib.redirect_stdout(sys.stderr):  # which holds the names
            _module = _importlib.import_module(f"test.{_part}")
        for _name, _value in list(vars(_module).items()):
            if isinstance(_value, type) and issubclass(_value, unittest.TestCase):
                if _value.__module__ == _module.__name__:
                    _value.conformance_name = f"{_part}:{_name}".rpartition(".")[2]
                    globals()[_value.conformance_name] = _value
                    PICKED[_value.conformance_name] = _patterns
    del _value
elif SUITE == "futures":
    import importlib as _importlib

    for _part in ("as_completed", "deadlock", "future", "init", "process_pool", "shutdown", "wait"):
        _module = _importlib.import_module(f"test.test_concurrent_futures.test_{_part}")
        for _name, _value in list(vars(_module).items()):
            if isinstance(_value, type) and issubclass(_value, unittest.TestCase) and "Process" in _name:
                globals()[_name] = _value
elif SUITE == "executor":
    from concurrent.futures import Executor as _Executor

    from test.test_concurrent_futures import executor as _calls
    from test.test_concurrent_futures import test_as_completed as _as_completed
    from test.test_concurrent_futures import test_wait as _wait
    from test.test_concurrent_futures import util as _util

    import procession

    class _PoolExecutor(_Executor):
        """``pool.executor()`` with a pool of its own, as ProcessPoolExecutor has."""

        def __init__(self, max_workers=None, mp_context=None, initializer=None, initargs=()):
            if max_workers is not None and max_workers <= 0:
                raise ValueError("max_workers must be greater than 0")
            self.pool = (mp_context or procession).Pool(max_workers, initializer, initargs)
            self.inner = self.pool.executor()
            self.submit, self.map = self.inner.submit, self.inner.map

        def shutdown(self, wait=True, *, cancel_futures=False):
            self.inner.shutdown(wait, cancel_futures=cancel_futures)
            self.pool.close()
            if wait:
                self.pool.join()

    for _start in ("Fork", "Spawn", "Forkserver"):
        _mixin = getattr(_util, f"ProcessPool{_start}Mixin")
        for _tests in (_calls.ExecutorTest, _as_completed.AsCompletedTests, _wait.WaitTests):
            _name = f"Pool{_start}{_tests.__name__}"
            globals()[_name] = type(
                _name, (_mixin, _tests, _util.BaseTestCase), {"executor_type": _PoolExecutor}
            )
else:
    import test._test_multiprocessing as _suite

    # It compares three private semaphores of CPython's own design.
    _suite._TestCondition.check_invariant = lambda self, cond: None
    _suite.install_tests_in_module_dict(globals(), METHOD)


class Report(unittest.TestResult):
    """Says on a descriptor which test begins and how it ends."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self.fd = fd
        self.pid = os.getpid()

    def say(self, **line: object) -> None:
        if os.getpid() == self.pid:
            os.write(self.fd, (json.dumps(line) + "\n").encode())

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self.status, self.text = "ok", ""
        self.say(begin=name_of(test))

    def stopTest(self, test: unittest.TestCase) -> None:
        self.say(end=name_of(test), status=self.status, text=self.text)
        super().stopTest(test)

    def _bad(self, status: str, test: unittest.TestCase, error: object) -> None:
        text = self._exc_info_to_string(error, test)[-3000:]
        if not isinstance(test, unittest.TestCase):  # a fixture
            self.say(fixture=str(test), status=status, text=text)
            return
        self.status, self.text = status, self.text + text

    def addError(self, test, error) -> None:
        self._bad("error", test, error)

    def addFailure(self, test, error) -> None:
        self._bad("failure", test, error)

    def addSubTest(self, test, subtest, error) -> None:
        if error is not None:
            self._bad("failure", test, error)

    def addSkip(self, test, reason) -> None:
        if not isinstance(test, unittest.TestCase):
            self.say(fixture=str(test), status="skip", text=reason)
            return
        self.status, self.text = "skip", reason

    def addExpectedFailure(self, test, error) -> None:
        self.status = "ok"


def name_of(test: unittest.TestCase) -> str:
    cls = type(test)
    return f"{vars(cls).get('conformance_name', cls.__name__)}.{test._testMethodName}"


def all_names() -> list[str]:
    names = []
    for name, value in globals().items():
        if isinstance(value, type) and issubclass(value, unittest.TestCase):
            tests = [f"{name}.{test}" for test in unittest.defaultTestLoader.getTestCaseNames(value)]
            if name in PICKED:
                tests = [
                    test
                    for test in tests
                    if any(fnmatch.fnmatch(test.partition(":")[2], pattern) for pattern in PICKED[name])
                ]
            names += tests
    return names


def main() -> None:
    import faulthandler
    import signal

    signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.argv[3] == "list":
        print("\n".join(all_names()))
        return
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    wanted = open(sys.argv[4]).read().split()
    fd = int(sys.argv[5])
    os.set_inheritable(fd, False)
    suite = unittest.TestSuite()
    for name in wanted:
        cls, _, method = name.partition(".")
        suite.addTest(globals()[cls](method))
    report = Report(fd)
    suite.run(report)
    report.say(finished=True)


if __name__ == "__main__":
    main()
