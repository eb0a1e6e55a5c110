"""Programs and sessions on a real terminal: an interrupt is everybody's there, and a session has no file."""

from __future__ import annotations

import os
import select
import signal
import sys
import textwrap
import time

import pytest

pytestmark = [pytest.mark.linux_only, pytest.mark.timeout(120)]

PROGRAM = """
    import os, signal, sys, time
    import procession as mp

    def say(text):
        os.write(1, f"<{text}>\\n".encode())
    def work(depth=0):
        if depth:
            child = mp.Process(target=work, args=(depth - 1,))
            child.start()
            child.join()
        else:
            say("ready")
            time.sleep(1000)
    def take(queue):
        say("ready")
        queue.get()
    def acquire(lock):
        say("ready")
        lock.acquire()
    def clean_up():
        try:
            work()
        except KeyboardInterrupt:
            say("cleaned up")
    def start(*processes):
        for process in processes:
            process.start()
        for process in processes:
            process.join()

    if __name__ == "__main__":
        mp.set_start_method(sys.argv[1])
        kind = sys.argv[2]
        if kind == "processes":
            start(*[mp.Process(target=work) for _ in range(3)])
        if kind == "daemons":
            for _ in range(3):
                mp.Process(target=work, daemon=True).start()
            time.sleep(1000)
        if kind == "nested":
            start(mp.Process(target=work, args=(2,)))
        if kind == "blocked":
            queue, lock = mp.Queue(), mp.Lock()
            lock.acquire()
            start(mp.Process(target=take, args=(queue,)), mp.Process(target=acquire, args=(lock,)))
        if kind == "pool":
            with mp.Pool(2) as pool:
                pool.map(work, [0, 0, 0, 0])
        if kind == "manager":
            with mp.Manager() as manager:
                shared = manager.dict()
                say("ready")
                try:
                    time.sleep(1000)
                except KeyboardInterrupt:
                    shared["key"] = "alive"
                    say(shared["key"])
                    raise
        if kind == "handled":
            process = mp.Process(target=clean_up)
            process.start()
            try:
                process.join()
            except KeyboardInterrupt:
                process.join()
                say(f"exit code {process.exitcode}")
                raise
"""
# kind: how often it says that it is ready, what it says after the interrupt
KINDS = {
    "processes": (3, []),
    "daemons": (3, []),
    "nested": (1, []),
    "blocked": (2, []),
    "pool": (2, []),
    "manager": (1, ["<alive>"]),
    "handled": (1, ["<cleaned up>", "<exit code 0>"]),
}


class Terminal:
    """A program whose controlling terminal this is."""

    def __init__(self, *command):
        import pty

        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                signal.signal(signal.SIGINT, signal.default_int_handler)
                os.environ.update(TERM="dumb", PYTHON_BASIC_REPL="1")
                os.execv(sys.executable, [sys.executable, *command])
            finally:
                os._exit(127)
        self.text = ""

    def read_until(self, condition, seconds=60):
        """Read until *condition* of the text is true, or, if it is None, until nobody has the terminal."""
        deadline = time.monotonic() + seconds
        while condition is None or not condition(self.text):
            assert time.monotonic() < deadline, self.text
            if not select.select([self.fd], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(self.fd, 65536)
            except OSError:  # EIO: the last process has closed it
                data = b""
            if not data:
                assert condition is None, self.text
                return
            self.text += data.decode(errors="replace")

    def write(self, text):
        os.write(self.fd, text.encode())

    def close(self):
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.mark.parametrize("kind", KINDS)
def test_interrupt_at_the_terminal(start_method, kind, tmp_path):
    """One traceback, that of the main program, and nobody is left."""
    pytest.importorskip("procession", reason="needs the meta-distribution")
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    number, words = KINDS[kind]
    terminal = Terminal(str(program), start_method, kind)
    try:
        terminal.read_until(lambda text: text.count("<ready>") >= number)
        time.sleep(0.1)  # those that said so are about to wait
        terminal.write("\x03")
        terminal.read_until(None)
    finally:
        code = terminal.close()
    assert terminal.text.count("Traceback") == 1, terminal.text
    assert all(word in terminal.text for word in words), terminal.text
    assert code == -signal.SIGINT


SESSION = [
    "import procession as mp",
    "mp.set_start_method({method!r})",
    "def work(queue, number):",
    "    queue.put(number * factor)",
    "",
    "factor = 3",
    "queue = mp.Queue()",
    "process = mp.Process(target=work, args=(queue, 5))",
    "process.start(); process.join()",
    "'<first', queue.get(), process.exitcode",
    "class Adder:",
    "    def __init__(self, number): self.number = number",
    "    def add(self, other): return self.number + other",
    "",
    "class Own(mp.Process):",
    "    def run(self): queue.put(factor)",
    "",
    "factor = 100",
    "own = Own(); own.start(); own.join()",
    "'<second', queue.get()",
    "pool = mp.Pool(2)",
    "'<third', pool.map(Adder(10).add, range(3)), pool.map(lambda number: number * factor, [7])",
    "pool.terminate()",
    "exit()",
]


def test_interactive_session(start_method):
    pytest.importorskip("procession", reason="needs the meta-distribution")
    if start_method != "fork":
        pytest.importorskip("cloudpickle")
    terminal = Terminal("-q")
    try:
        for line in SESSION:
            before = terminal.text.count(">>> ") + terminal.text.count("... ")
            if not before:
                terminal.read_until(lambda text: ">>> " in text)
                before = 1
            terminal.write(line.format(method=start_method) + "\r")
            if line != "exit()":
                terminal.read_until(lambda text: text.count(">>> ") + text.count("... ") > before)
        terminal.read_until(None)
    finally:
        terminal.close()
    assert "('<first', 15, 0)" in terminal.text
    assert "('<second', 100)" in terminal.text
    assert "('<third', [10, 11, 12], [700])" in terminal.text
