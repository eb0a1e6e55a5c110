"""Children find ``__main__`` whatever it is."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile

import pytest

PROGRAM = """
import sys
import procession_process as pp

print("loaded as", __name__, flush=True)

def work(number):

    print("worked", number, sys.argv[1:], __name__, flush=True)
    sys.exit(number)

if __name__ == "__main__":
    pp.set_start_method(sys.argv[1])
    process = pp.Process(target=work, args=(5,))
    process.start()
    process.join()
    print("exit code", process.exitcode)
"""

GUARDLESS = PROGRAM.replace(
    'if __name__ == "__main__":', 'if __name__ != "__main__":\n    raise SystemExit(9)\nelse:'
)
METHODS = ("spawn", "forkserver")


def run(arguments, cwd, **options):
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60, **options
    )


@pytest.mark.parametrize("start", METHODS)
@pytest.mark.parametrize("kind", ["script", "module", "package module", "zip module", "compiled"])
def test_importable_main(kind, start, tmp_path):
    if kind in ("script", "compiled"):
        (tmp_path / "program.py").write_text(PROGRAM)
        arguments = ["program.py", start]
        if kind == "compiled":
            import py_compile

            py_compile.compile(str(tmp_path / "program.py"), str(tmp_path / "program.pyc"))
            (tmp_path / "program.py").unlink()
            arguments[0] = "program.pyc"
    elif kind == "module":
        (tmp_path / "program.py").write_text(PROGRAM)
        arguments = ["-m", "program", start]
    elif kind == "package module":
        (tmp_path / "package").mkdir()
        (tmp_path / "package" / "__init__.py").write_text("")
        (tmp_path / "package" / "program.py").write_text("from . import __name__ as p\n" + PROGRAM)
        arguments = ["-m", "package.program", start]
    else:
        with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
            archive.writestr("package/__init__.py", "")
            archive.writestr("package/program.py", PROGRAM)
        code = f"import runpy, sys; sys.path.insert(0, 'all.zip'); sys.argv[1:] = [{start!r}]; "
        code += "runpy.run_module('package.program', run_name='__main__', alter_sys=True)"
        arguments = ["-c", code]
    done = run(arguments, tmp_path)
    assert "exit code 5" in done.stdout, done.stderr
    assert f"worked 5 ['{start}'] __mp_main__" in done.stdout
    assert done.stdout.count("loaded as __mp_main__") == 1


@pytest.mark.parametrize("start", METHODS)
@pytest.mark.parametrize("kind", ["directory", "zip", "package"])
def test_main_of_a_package_is_not_run_again(kind, start, tmp_path):
    pytest.importorskip("cloudpickle")
    if kind == "zip":
        with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
            archive.writestr("__main__.py", GUARDLESS)
        arguments = ["app.zip", start]
    else:
        (tmp_path / "app").mkdir()
        (tmp_path / "app" / "__main__.py").write_text(GUARDLESS)
        (tmp_path / "app" / "__init__.py").write_text("")
        arguments = ["app", start] if kind == "directory" else ["-m", "app", start]
    done = run(arguments, tmp_path)
    assert "exit code 5" in done.stdout, done.stderr
    assert "loaded as __mp_main__" not in done.stdout


@pytest.mark.parametrize("start", METHODS)
@pytest.mark.parametrize("kind", ["-c", "stdin", "repl"])
def test_main_without_a_name_goes_by_value(kind, start, tmp_path):
    pytest.importorskip("cloudpickle")
    if kind == "-c":
        done = run(["-c", PROGRAM, start], tmp_path)
    elif kind == "stdin":
        done = run(["-", start], tmp_path, input=PROGRAM)
    else:
        text = (
            PROGRAM.replace("\n\n", "\n")
            .replace("def work", "\ndef work")
            .replace("if __name__", "\nif __name__")
        )
        done = run(
            ["-i", "-", start],
            tmp_path,
            input=text.replace('\n    print("exit', '\n    print("exit') + "\n\n",
        )
    assert "exit code 5" in done.stdout, done.stderr
    assert "worked 5" in done.stdout


@pytest.mark.parametrize("start", METHODS)
def test_without_cloudpickle_the_start_says_what_to_do(start, tmp_path):
    program = "import sys; sys.modules['cloudpickle'] = None\n" + PROGRAM
    done = run(["-c", program, start], tmp_path)
    assert done.returncode == 1
    assert "procession-process[cloudpickle]" in done.stderr
    assert "work" in done.stderr


@pytest.mark.parametrize("start", METHODS)
def test_only_needed_descriptors_are_inherited(start, tmp_path):
    (tmp_path / "program.py").write_text(
        "import os, sys, procession_process as pp\n"
        "def show():\n"
        "    links = [f'/proc/self/fd/{n}' for n in os.listdir('/proc/self/fd')]\n"
        "    print(sorted(os.readlink(n) for n in links if os.path.exists(n)))\n"
        "if __name__ == '__main__':\n"
        "    os.set_inheritable(os.open('stray', os.O_CREAT), True)\n"
        "    pp.set_start_method(sys.argv[1]); p = pp.Process(target=show); p.start(); p.join()\n"
    )
    done = run(["program.py", start], tmp_path)
    assert "stray" not in done.stdout and done.stdout.startswith("["), done.stderr


@pytest.mark.parametrize("start", METHODS)
def test_shadowing_files_do_not_matter(start, tmp_path):
    # Files of the current directory under the names of modules that the start itself needs.
    for name in ("copyreg.py", "functools.py", "struct.py"):
        (tmp_path / "cwd" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "cwd" / name).write_text("raise SystemExit(77)")
    (tmp_path / "program.py").write_text(PROGRAM)
    done = run([os.path.join("..", "program.py"), start], tmp_path / "cwd")
    assert "exit code 5" in done.stdout, done.stderr


UNGUARDED = """
import sys
import procession_process as pp

def work():
    print("worked", flush=True)

pp.set_start_method(sys.argv[1], force=True)
process = pp.Process(target=work)
process.start()
process.join()
print("exit code", process.exitcode)
"""


@pytest.mark.parametrize("method", METHODS)
def test_a_main_that_starts_processes_when_it_is_imported_ends(tmp_path, method):
    (tmp_path / "unguarded.py").write_text(UNGUARDED)
    done = run(["unguarded.py", method], tmp_path)
    assert done.stdout == "exit code 1\n", done.stderr
    assert "An attempt has been made to start a new process before" in done.stderr
    assert "if __name__ == '__main__':" in done.stderr


ENDING = """
import atexit, os, sys, threading, time
import procession_core as pc
import procession_process as pp

def say(text):
    os.write(1, (text + "\\n").encode())

def end_of_thread():
    threading.main_thread().join(0.2)
    say("thread")

def work(how):
    atexit.register(say, "first handler")
    pc.Finalize(None, say, args=("finalizer",), exitpriority=10)
    atexit.register(say, "second handler")
    threading.Thread(target=end_of_thread).start()
    if how == "exit":
        sys.exit(3)
    if how == "raise":
        raise LookupError

if __name__ == "__main__":
    pp.set_start_method(sys.argv[1])
    for how in ("return", "exit", "raise"):
        process = pp.Process(target=work, args=(how,))
        process.start()
        process.join()
        say(str(process.exitcode))
"""


def test_a_child_ends_as_a_program_does(start_method, tmp_path):
    """Threads, then exit handlers, then finalizers, which may end what those use."""
    (tmp_path / "ending.py").write_text(ENDING)
    done = run(["ending.py", start_method], tmp_path)
    end = ["thread", "second handler", "first handler", "finalizer"]
    assert done.stdout.splitlines() == [*end, "0", *end, "3", *end, "1"]
    assert done.stderr.count("LookupError") == 2, done.stderr  # the statement and the error


FLUSHED = """
import sys
import procession_process as pp

if __name__ == "__main__":
    pp.set_start_method(sys.argv[1])
    for number in range(2):
        print("parent", number)
        process = pp.Process(target=print, args=("child", number))
        process.start()
        process.join()
"""


def test_output_is_in_the_order_of_the_program(start_method, tmp_path):
    """Standard output is no terminal here: it would be written when the program ends."""
    (tmp_path / "flushed.py").write_text(FLUSHED)
    done = run(["flushed.py", start_method], tmp_path)
    assert done.stdout.splitlines() == ["parent 0", "child 0", "parent 1", "child 1"], done.stderr


WITHOUT_STREAMS = """
import os, sys
import procession_process as pp

def work():
    print("out", flush=True) if sys.stdout else None
    os.open("ran", os.O_CREAT | os.O_WRONLY)

if __name__ == "__main__":
    pp.set_start_method(sys.argv[1])
    for _ in range(3):
        process = pp.Process(target=work)
        process.start()
        process.join()
        os.rename("ran", "seen")
        if process.exitcode:
            sys.exit(process.exitcode)
"""


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_programs_without_standard_streams(start_method, tmp_path, closed):
    """What is opened first gets the number of a stream; a child must not print into it."""
    (tmp_path / "without.py").write_text(WITHOUT_STREAMS)
    command = f'exec {closed}; "$0" without.py {start_method}'
    done = subprocess.run(["bash", "-c", command, sys.executable], cwd=tmp_path, timeout=60)
    assert done.returncode == 0
    assert (tmp_path / "seen").exists()


FROZEN = """#!{python}
import sys
sys.path[:0] = {path!r}
sys.modules["cloudpickle"] = None
sys.frozen = True
sys.executable = {program!r}  # which runs nothing but this
__file__ = "/inside/the/executable/program.py"
import procession_process as pp

def work(number):
    print("worked", number, sys.argv[1:], flush=True)
    sys.exit(number)

class Own(pp.Process):
    def run(self):
        work(6)

if __name__ == "__main__":
    pp.freeze_support()
    print("main", flush=True)
    pp.set_start_method(sys.argv[1])
    for process in (pp.Process(target=work, args=(5,)), Own()):
        process.start()
        process.join()
        print("exit code", process.exitcode, flush=True)
"""


@pytest.mark.linux_only
def test_frozen_program(start_method, tmp_path):
    """It is its own interpreter: children have what it defines before freeze_support(), without cloudpickle."""
    program = tmp_path / "program"
    program.write_text(FROZEN.format(python=sys.executable, path=sys.path, program=str(program)))
    program.chmod(0o755)
    done = subprocess.run([str(program), start_method], capture_output=True, text=True, timeout=60)
    worked = "worked {0} ['" + start_method + "']\nexit code {0}\n"
    assert done.stdout == "main\n" + worked.format(5) + worked.format(6), done.stderr


NOTEBOOK = """
import sys, types
cells = open(sys.argv[1]).read().split("# cell\\n")
main = types.ModuleType("__main__")  # as kernels of notebooks make it: no file, no spec
sys.modules["__main__"] = main
sys.argv[1:] = sys.argv[2:]
for cell in cells:
    exec(compile(cell, "<cell>", "exec"), main.__dict__)
"""

CELLS = """
import os, sys
import procession_process as pp
pp.set_start_method(sys.argv[1])
factor = 3
# cell
def work(number):
    os.write(1, f"{number * factor} {helper(number)}\\n".encode())
# cell
def helper(number):
    return [number]
# cell
class Own(pp.Process):
    def run(self):
        work(self.number)
for number in (1, 2):
    process = pp.Process(target=work, args=(number,))
    process.start(); process.join()
    factor *= 10
own = Own()
own.number = 7
own.start(); own.join()
scale = 5
local = (lambda base: lambda number: os.write(1, f"{base + number * scale}\\n".encode()))(1)
process = pp.Process(target=local, args=(2,))
process.start(); process.join()
print(process.exitcode)
"""


def test_notebook(start_method, tmp_path):
    """Functions, classes, lambdas and closures of cells, as they and their globals are when the child starts."""
    if start_method != "fork":
        pytest.importorskip("cloudpickle")
    (tmp_path / "kernel.py").write_text(NOTEBOOK)
    (tmp_path / "cells").write_text(CELLS)
    done = run(["kernel.py", "cells", start_method], tmp_path)
    assert done.stdout.splitlines() == ["3 [1]", "60 [2]", "2100 [7]", "11", "0"], done.stderr


@pytest.mark.parametrize("start", METHODS)
def test_closures_of_a_script_need_cloudpickle_and_say_so(start, tmp_path):
    (tmp_path / "program.py").write_text(
        "import sys\n"
        "if len(sys.argv) > 2: sys.modules['cloudpickle'] = None\n"
        "import procession_process as pp\n"
        "def outer(number):\n"
        "    def closure(): print('got', number, flush=True)\n"
        "    return closure\n"
        "if __name__ == '__main__':\n"
        "    pp.set_start_method(sys.argv[1])\n"
        "    for target in (outer(3), lambda: print('lambda', flush=True)):\n"
        "        p = pp.Process(target=target)\n"
        "        try: p.start(); p.join()\n"
        "        except Exception as error: print(type(error).__name__, error, *error.__notes__)\n"
    )
    pytest.importorskip("cloudpickle")
    assert run(["program.py", start], tmp_path).stdout == "got 3\nlambda\n"
    without = run(["program.py", start, "without"], tmp_path).stdout.splitlines()
    assert len(without) == 2
    for line, name in zip(without, ("closure", "<lambda>"), strict=True):
        assert name in line and "procession-process[cloudpickle]" in line, line


@pytest.mark.parametrize(
    "flags",
    [["-O"], ["-W", "error::UserWarning", "-W", "ignore::DeprecationWarning"], ["-X", "dev"], ["-b"], ["-E"],
     ["-I"], ["-P"], ["-X", "utf8=0"], ["-X", "faulthandler"], ["-X", "int_max_str_digits=5000"],
     ["-X", "pycache_prefix=x"], ["-OO", "-B", "-s", "-W", "error::UserWarning", "-X", "utf8"]],
    ids=" ".join,
)  # fmt: skip
@pytest.mark.parametrize("start", METHODS)
def test_flags_reach_the_child(start, flags, tmp_path):
    (tmp_path / "program.py").write_text(
        "import sys\n"
        "if __name__ == '__main__': sys.path[:0] = sys.argv[2].split(':')\n"
        "import faulthandler, os, warnings, procession_process as pp\n"
        "def show():\n"
        "    print(sys.flags, sys.warnoptions, sys._xoptions, sys.path, sys.argv, os.getcwd(), __debug__,\n"
        "        [f[:3:2] for f in warnings.filters], sys.stdout.encoding, sys.stdout.write_through, sys.prefix,\n"
        "        faulthandler.is_enabled(), sys.executable, sys.pycache_prefix, flush=True)\n"
        "if __name__ == '__main__':\n"
        "    os.chdir('/'); sys.argv.append('more'); sys.path.append('/more')\n"
        "    show(); pp.set_start_method(sys.argv[1])\n"
        "    p = pp.Process(target=show); p.start(); p.join()\n"
    )
    done = run([*flags, "program.py", start, ":".join(sys.path)], tmp_path)
    first, second = done.stdout.splitlines()
    assert first == second, done.stderr


@pytest.mark.linux_only
@pytest.mark.parametrize("start", METHODS)
def test_children_of_a_virtual_environment(start, tmp_path):
    import venv

    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    (tmp_path / "program.py").write_text(
        "import sys\n"
        "if __name__ == '__main__': sys.path += sys.argv[2].split(':')\n"
        "import procession_process as pp\n"
        "def show(): print(sys.executable, sys.prefix, flush=True)\n"
        "if __name__ == '__main__':\n"
        "    if len(sys.argv) > 3: pp.set_executable(sys.argv[3])\n"
        "    pp.set_start_method(sys.argv[1])\n"
        "    p = pp.Process(target=show); p.start(); p.join()\n"
    )
    python = str(tmp_path / "venv" / "bin" / "python")
    paths = ":".join(path for path in sys.path if path)
    expected = f"{python} {tmp_path / 'venv'}\n"
    inside = subprocess.run(
        [python, "program.py", start, paths], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert inside.stdout == expected, inside.stderr
    chosen = run(["program.py", start, paths, python], tmp_path)
    assert chosen.stdout == expected, chosen.stderr
