"""How a child ends: its exit code, what it says, and what is written at the last moment."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import procession_process as pp

# What the child does, its exit code, and what is on its standard error (None: nothing is).
ENDINGS = [
    ("sys.exit()", 0, None),
    ("sys.exit(None)", 0, None),
    ("sys.exit(0)", 0, None),
    ("sys.exit(False)", 0, None),
    ("sys.exit(True)", 1, None),
    ("sys.exit(7)", 7, None),
    ("sys.exit(type('Int', (int,), {})(7))", 7, None),
    ("sys.exit(-1)", 255, None),
    ("sys.exit(255)", 255, None),
    ("sys.exit(257)", 1, None),
    ("sys.exit(2**31 - 1)", 255, None),
    ("sys.exit(-2**31)", 0, None),
    ("sys.exit(2**31)", 1, "too large"),
    ("sys.exit(2**32)", 1, "too large"),
    ("sys.exit(-10**5000)", 1, "too large"),
    ("sys.exit('text')", 1, "text\n"),
    ("sys.exit('')", 1, "\n"),
    ("sys.exit('\\u4e2d')", 1, "\u4e2d\n"),
    ("sys.exit(b'text')", 1, "b'text'\n"),
    ("sys.exit(0.0)", 1, "0.0\n"),
    ("sys.exit([])", 1, "[]\n"),
    ("sys.exit(())", 0, None),  # no argument at all
    ("sys.exit((1, 2))", 1, "(1, 2)\n"),
    ("sys.exit(Unprintable())", 1, None),
    ("raise SystemExit(1, 2)", 1, "(1, 2)\n"),
    ("raise Unprintable()", 1, "Unprintable"),
    ("raise Base('why')", 1, "Base: why"),
    ("raise GeneratorExit", 1, "GeneratorExit"),
    ("raise ExceptionGroup('several', [ValueError('one')])", 1, "ValueError: one"),
    ("sys.stderr = None; sys.exit('text')", 1, None),
    ("sys.stderr = None; raise ValueError", 1, None),
    ("sys.stderr.close(); raise ValueError", 1, None),
    ("del sys.stderr; raise ValueError", 1, None),
    ("del sys.stdout", 0, None),
    ("sys.stdout = None", 0, None),
    ("sys.stdout.close()", 0, None),
    ("sys.stdout = Stream(ValueError('closed'))", 0, None),
    ("sys.stdout = Stream(ZeroDivisionError('why'))", 1, "ZeroDivisionError: why"),
    ("sys.stdout = Stream(SystemExit(9))", 1, "SystemExit: 9"),
    ("sys.stdout = Stream(ZeroDivisionError('why')); sys.exit(3)", 3, "ZeroDivisionError: why"),
    ("lose_output('/dev/full')", 1, "No space left on device"),
    ("os.close(1); print('lost')", 1, "Bad file descriptor"),
    ("pc.Finalize(None, sys.exit, (4,), exitpriority=1)", 4, None),
    ("pc.Finalize(None, sys.exit, ('text',), exitpriority=1); sys.exit(5)", 1, "text\n"),
    ("pc.Finalize(None, fail, exitpriority=1)", 0, "ZeroDivisionError"),
    ("atexit.register(fail)", 0, "ZeroDivisionError"),
    ("atexit.register(os._exit, 11)", 11, None),
    ("threading.Thread(target=sys.exit, args=(3,)).start()", 0, None),
    ("threading.Thread(target=fail).start()", 0, "ZeroDivisionError"),
    ("threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()", 0, None),
    ("os._exit(5)", 5, None),
    ("os.execv('/bin/sh', ['sh', '-c', 'exit 6'])", 6, None),
    ("os.closerange(3, 256)", 0, None),
    ("os.closerange(0, 256)", 0, None),
    ("pid = os.fork(); os.waitpid(pid, 0) if pid else None", 0, None),
    ("start_child(path)", 0, "grandchild\n"),
    ("start_child(path); raise ValueError('why')", 1, "ValueError: why"),
    ("start_child(path, daemon=True)", 0, None),
    ("current.name = 'renamed'; raise ValueError", 1, "Process renamed:\n"),
]

PROGRAM = """
import atexit, json, os, sys, tempfile, threading, time
import procession_core as pc
import procession_process as pp

class Unprintable(Exception):
    def __str__(self): raise RuntimeError
    __repr__ = __str__
class Base(BaseException): pass
class Stream:
    def __init__(self, error): self.error = error
    def write(self, text): pass
    def flush(self): raise self.error

def fail(): 1 / 0
def lose_output(path):
    os.dup2(os.open(path, os.O_WRONLY), 1)
    print("lost")
def grandchild(path, seconds):  # with another standard error, if the fork server makes it
    time.sleep(seconds)
    os.write(os.open(path, os.O_WRONLY | os.O_APPEND), b"grandchild\\n")
def start_child(path, daemon=False):
    pp.Process(target=grandchild, args=(path, 1000 if daemon else 0.1), daemon=daemon).start()

def run(ending, path):
    os.dup2(os.open(path, os.O_WRONLY), 2)
    exec(ending, dict(globals(), path=path, current=pp.current_process()))

if __name__ == "__main__":
    pp.set_start_method(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        for number, ending in enumerate(json.loads(sys.argv[2])):
            path = os.path.join(folder, str(number))
            open(path, "w").close()
            process = pp.Process(target=run, args=(ending, path))
            process.start()
            process.join(60)
            with open(path, encoding="utf-8") as file:
                os.write(1, json.dumps([process.exitcode, file.read()]).encode() + b"\\n")
            process.kill()
"""


@pytest.mark.linux_only
@pytest.mark.timeout(300)
def test_every_ending(start_method, tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "program.py", start_method, json.dumps([e for e, _, _ in ENDINGS])],
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == len(ENDINGS), done.stderr
    assert done.stderr == ""
    for (ending, exitcode, said), (found, error) in zip(ENDINGS, results, strict=True):
        assert found == exitcode, (ending, found, error)
        assert error == "" if said is None else said in error, (ending, error)
        if said is not None and said.endswith("\n") and not said.startswith("Process"):
            assert error == said, ending


def killed_by(number):
    os.kill(os.getpid(), number)


@pytest.mark.linux_only
@pytest.mark.parametrize(("number", "shown"), [(9, "-SIGKILL"), (40, "-40")])
def test_repr_of_a_signal(method, number, shown):
    process = pp.Process(target=killed_by, args=(number,))
    process.start()
    process.join(60)
    assert process.exitcode == -number
    assert f"exitcode={shown}>" in repr(process)
