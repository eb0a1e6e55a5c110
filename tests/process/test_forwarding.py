"""log_to_parent(), the names in records, extras, the fork server's preload, and use beside the standard package."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

import procession_process as pp

from .watched import start_program


def run(text, tmp_path, *arguments):
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(text))
    return subprocess.run(
        [sys.executable, str(program), *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )


LOGGING = """
    import logging, sys
    import procession_process as pp
    def work():
        log = logging.getLogger("some.name")
        for number in range(20):
            log.info("record %d", number)
        log.debug("too low")
        try:
            1 / 0
        except ZeroDivisionError:
            log.exception("with %s", object)
        if "deep" in sys.argv:
            deeper = pp.Process(target=deep, name="deeper")
            deeper.start()
            deeper.join()
    def deep():
        logging.getLogger("deep").warning("from below")
    if __name__ == "__main__":
        pp.set_start_method(sys.argv[1])
        logging.basicConfig(level=1, stream=sys.stdout, format="%(processName)s|%(name)s|%(message)s")
        pp.log_to_parent("INFO")
        process = pp.Process(target=work, name="worker")
        process.start()
        process.join()
        print("joined", process.exitcode)
"""


@pytest.mark.parametrize("deep", [False, True])
def test_records_arrive_in_order_before_the_join_returns(start_method, deep, tmp_path):
    done = run(LOGGING, tmp_path, start_method, *(["deep"] if deep else []))
    lines = [line for line in done.stdout.splitlines() if line.startswith(("worker|", "deeper|", "joined"))]
    expected = [f"worker|some.name|record {number}" for number in range(20)]
    expected.append("worker|some.name|with <class 'object'>")
    if deep:
        expected.append("deeper|deep|from below")
    assert lines == [*expected, "joined 0"], done.stderr
    assert "ZeroDivisionError" in done.stdout


DIFFICULT = """
    import logging, os, sys, threading, time
    import procession_process as pp
    class Handler(logging.Handler):
        def emit(self, record):
            extra = str(getattr(record, "extra", ""))
            os.write(1, f"{self.name} {os.getpid() == main} {record.getMessage()[:9]} {extra[:9]}\\n".encode())
    class EndsItsReader:
        def __reduce__(self):
            return sys.exit, (3,)
    class Unpicklable(Exception):
        def __reduce__(self):
            raise TypeError("no")
    log, apart = logging.getLogger("app"), logging.getLogger("apart")
    def work():
        log.info("first")
        apart.info("apart")
        log.info("extra", extra={"extra": threading.Lock()})
        log.info("lost", extra={"extra": EndsItsReader()})
        log.info("x" * 10_000_000)
        log.info("long", extra={"extra": "y" * 10_000_000})
        log.info("\U0001f600" * 50_000, exc_info=ValueError("\U0001f600" * 50_000))
        try:
            raise Unpicklable
        except Unpicklable:
            log.exception("raised")
        threads = [threading.Thread(target=log.info, args=("thread",)) for _ in range(3)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        log.info("end")
    class Joiner(logging.Handler):
        def emit(self, record):
            if record.getMessage() == "end":
                process.join()
                sys.exit(3)
    if __name__ == "__main__":
        main = os.getpid()
        pp.set_start_method(sys.argv[1])
        for logger, name in ((logging.getLogger(), "root"), (log, "app"), (apart, "apart")):
            handler = Handler()
            handler.name = name
            logger.addHandler(handler)
            logger.setLevel(1)
        apart.propagate = False
        log.addHandler(Joiner())
        pp.log_to_parent()
        process = pp.Process(target=work)
        process.start()
        process.join()
        print("joined", process.exitcode)
"""


def test_each_record_is_handled_once_and_here(start_method, tmp_path):
    done = run(DIFFICULT, tmp_path, start_method)
    expected = ["apart True apart "]
    for text in (
        "first ",
        "extra <unlocked",
        "xxxxxxxxx ",
        "long yyyyyyyyy",
        9 * "\U0001f600" + " ",
        "raised ",
        *3 * ["thread "],
        "end ",
    ):
        expected += [f"app True {text}", f"root True {text}"]
    expected.remove("root True end ")  # its handler of before has ended it
    lines = done.stdout.splitlines()
    assert sorted(lines) == sorted([*expected, "joined 0"]), done.stderr
    assert lines[0] == "app True first " and lines[-1] == "joined 0"


OUTLIVING = """
    import logging, os, sys, time
    import procession_process as pp
    def work():
        os.write(1, b"started\\n")
        pp.parent_process().join()
        for _ in range(3):
            logging.getLogger().error("nobody hears this")
        os.write(1, b"survived\\n")
    if __name__ == "__main__":
        pp.set_start_method(sys.argv[1])
        pp.log_to_parent()
        pp.Process(target=work).start()
        sys.stdin.readline()
        os.kill(os.getpid(), 9)
"""


@pytest.mark.linux_only
def test_a_child_that_outlives_its_parent_logs_in_vain(start_method, tmp_path):
    parent = start_program(OUTLIVING, tmp_path, start_method)
    assert parent.stdout.readline() == "started\n"
    output, error = parent.communicate("\n", timeout=60)
    assert (output, error, parent.returncode) == ("survived\n", "", -9)


def test_unknown_level():
    with pytest.raises(ValueError, match="unknown level 'LOUD'"):
        pp.log_to_parent("LOUD")


NAMES = """
    import logging, sys
    if "real" in sys.argv:
        import multiprocessing
    import procession_process as pp
    def work():
        logging.basicConfig(stream=sys.stdout, format="%(processName)s|%(message)s")
        logging.getLogger().warning("hello")
    if __name__ == "__main__":
        pp.set_start_method(sys.argv[1])
        process = pp.Process(target=work, name="worker")
        process.start()
        process.join()
"""


@pytest.mark.parametrize("real", [False, True])
def test_records_name_the_process(start_method, real, tmp_path):
    done = run(NAMES, tmp_path, start_method, *(["real"] if real else []))
    assert done.stdout.strip() == "worker|hello", done.stderr


REAL = """
    import sys
    import multiprocessing
    import procession_process as pp
    def work(queue, lock, connection):
        with lock:
            queue.put("from the child")
        connection.send(queue.get(timeout=20) if False else "done")
    if __name__ == "__main__":
        real = multiprocessing.get_context(sys.argv[1])
        pp.set_start_method(sys.argv[1])
        queue, lock = real.Queue(), real.Lock()
        reads, writes = real.Pipe(duplex=False)
        process = pp.Process(target=work, args=(queue, lock, writes))
        process.start()
        print(queue.get(timeout=20), reads.recv())
        process.join()
        print(process.exitcode)
"""


def test_real_objects_reach_our_children(start_method, tmp_path):
    done = run(REAL, tmp_path, start_method)
    assert done.stdout.split("\n")[:2] == ["from the child done", "0"], done.stderr


EXTRAS = """
    import sys
    import procession_process as pp
    def work():
        import guest
        print(guest.seen, "__mp_main__" in guest.modules_then)
    if __name__ == "__main__":
        pp.register_extra("guest", "guest:hook", [1, "value"])
        process = {"spawn": pp.SpawnProcess, "forkserver": pp.ForkServerProcess}[sys.argv[1]](target=work)
        process.start()
        process.join()
"""


@pytest.mark.parametrize("start", ["spawn", "forkserver"])
def test_extras_run_before_main(start, tmp_path):
    (tmp_path / "guest.py").write_text(
        "import sys\nseen = []\nmodules_then = ()\n"
        "def hook(value):\n    global modules_then\n    seen[:] = value\n"
        "    modules_then = modules_then or tuple(sys.modules)\n"
    )
    done = run(EXTRAS, tmp_path, start)
    assert done.stdout.strip() == "[1, 'value'] False", done.stderr


def test_extras_need_a_hook_by_name():
    with pytest.raises(ValueError, match="hook must be"):
        pp.register_extra("x", "nothing")


PRELOAD = """
    import sys, warnings
    import procession_process as pp
    def work():
        import colorsys_like
        print("preloaded", colorsys_like.loaded_in != __import__("os").getpid())
    if __name__ == "__main__":
        warnings.simplefilter("always")
        pp.set_forkserver_preload(["__main__", "colorsys_like", "not_there"], on_error=sys.argv[1])
        process = pp.ForkServerProcess(target=work)
        try:
            process.start()
        except ImportError as error:
            print("ImportError", error.name)
        else:
            process.join()
            print(process.exitcode)
        print([name for name, _ in pp.forkserver_preload_report()])
"""


@pytest.mark.parametrize("wish", ["ignore", "warn", "fail"])
def test_preload(wish, tmp_path):
    (tmp_path / "colorsys_like.py").write_text("import os\nloaded_in = os.getpid()\n")
    done = run(PRELOAD, tmp_path, wish)
    lines = done.stdout.splitlines()
    assert lines[-1] == "['not_there']", done.stderr
    assert lines[:-1] == (["ImportError not_there"] if wish == "fail" else ["preloaded True", "0"])
    assert ("ImportWarning" in done.stderr) == (wish == "warn")


def test_preload_arguments():
    with pytest.raises(TypeError, match="list of strings"):
        pp.set_forkserver_preload("json")
    with pytest.raises(ValueError, match="on_error must be"):
        pp.set_forkserver_preload([], on_error="x")
