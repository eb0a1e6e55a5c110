"""``procession doctor`` and ``procession top``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

CHILD = """
import procession as mp, sys
lock = mp.Lock()
with lock:
    print("ready", flush=True)
    sys.stdin.read()
"""


def run(*arguments, env=None, timeout=110):
    return subprocess.run(
        [sys.executable, "-m", "procession", "--doctor", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **(env or {})},
    )


@pytest.fixture(scope="module")
def report():
    done = run("--json")
    return done.returncode, json.loads(done.stdout)


def test_every_layer_works_here(report):
    status, found = report
    broken = [entry for entry in found["tests"] if entry["level"] == "error"]
    assert not broken
    assert status == 0 and found["status"] == 0


def test_start_methods_have_times(report):
    texts = {entry["name"]: entry["text"] for entry in report[1]["tests"]}
    for method in ("fork", "spawn", "forkserver"):
        assert " ms" in texts[method] or texts[method].startswith("skipped")


def test_variant_is_named(report, variant):
    texts = {entry["name"]: entry["text"] for entry in report[1]["this"]}
    assert texts["variant"].startswith(variant)


def test_text_ends_with_a_verdict():
    done = run("--no-tests")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "All is well." or "warning(s)" in done.stdout.splitlines()[-1]


def test_strict_makes_a_warning_an_error():
    done = run("--no-tests", "--strict", "--json", env={"PROCESSION_NATIVE": "0"})
    if sys.platform.startswith("linux"):
        assert done.returncode == 1
        assert json.loads(done.stdout)["this"][2]["level"] == "warning"


@pytest.mark.linux_only
def test_limits_that_bite_are_warnings():
    code = (
        "import resource, sys, runpy\n"
        "for kind, value in ((resource.RLIMIT_NOFILE, 64), (resource.RLIMIT_FSIZE, 1 << 20)):\n"
        "    resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))\n"
        "sys.argv[1:] = ['--doctor', '--no-tests', '--json']\n"
        "runpy.run_module('procession', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    levels = {entry["name"]: entry["level"] for entry in json.loads(done.stdout)["limits"]}
    assert levels["descriptors"] == levels["file size"] == "warning"
    assert done.returncode == 0


@pytest.mark.linux_only
def test_orphans_are_found_and_removed():
    from procession.shared_memory import SharedMemory

    code = (
        "import os\n"
        "from procession.shared_memory import SharedMemory\n"
        "print(SharedMemory(create=True, size=4096).name, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    name = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
    wanted = SharedMemory(create=True, size=4096)
    try:
        found = {entry["name"]: entry for entry in json.loads(run("--no-tests", "--json").stdout)["limits"]}
        assert name in found["/dev/shm"]["text"] and wanted.name not in found["/dev/shm"]["text"]
        from procession import remove_orphans

        assert remove_orphans([name]) == [name]
    finally:
        wanted.close()
        wanted.unlink()


def test_a_check_that_fails_or_hangs_is_told():
    from procession import _doctor_checks

    passed, text = _doctor_checks.run_apart("no such check", 30)
    assert passed is False and "KeyError" in text
    passed, text = _doctor_checks.run_apart("managers", 0.001)
    assert passed is False and text == "did not end within 0.001 s"


def test_unknown_commands_are_refused():
    from procession._doctor import main

    with pytest.raises(SystemExit) as caught:
        main(["cure"])
    assert caught.value.code == 2
    assert run("--cure").returncode == 2


@pytest.mark.native_only
@pytest.mark.linux_only
def test_top_lists_the_processes_of_a_tree():
    from procession._doctor_trees import trees

    with subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "ready\n"
        pids = [process["pid"] for tree in trees() for process in tree["processes"]]
        assert child.pid in pids
        child.communicate()
    assert child.returncode == 0


WAITING = """
import os, sys, time
import procession as mp

def wait(method, ready):
    ready.release()
    method()

if __name__ == "__main__":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # where inode numbers are given in order
    os.memfd_create("procession-other")
    lock, queue, full, event, ready = mp.Lock(), mp.Queue(), mp.Queue(1), mp.Event(), mp.Semaphore(0)
    lock.acquire()
    full.put(0)
    for name, method in (("Lock", lock.acquire), ("Queue", queue.get), ("Event", event.wait)):
        mp.get_context("fork").Process(target=wait, args=(method, ready), name="for-" + name, daemon=True).start()
        ready.acquire()
    print("ready", flush=True)
    sys.stdin.read()
"""


def top(*arguments):
    code = "import sys; from procession._doctor import main; sys.exit(main(['top', *sys.argv[1:]]))"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.native_only
@pytest.mark.linux_only
def test_top_says_what_processes_wait_for_and_who_holds_it(tmp_path):
    from procession._doctor_trees import trees

    program = tmp_path / "waiting.py"
    program.write_text(WAITING)
    with subprocess.Popen(
        [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "ready\n"
        deadline = time.monotonic() + 30
        while True:
            (tree,) = trees(child.pid)
            known = {p["registry"]["name"]: p["registry"] for p in tree["processes"] if p["pid"] != child.pid}
            if all(one["waits_for"] and one["waits_seconds"] > 0.5 for one in known.values()):
                break
            assert time.monotonic() < deadline, tree
            time.sleep(0.05)
        assert {name: one["waits_for"]["kind"] for name, one in known.items()} == {
            "for-Lock": "Lock", "for-Queue": "Queue", "for-Event": "Event"
        }  # fmt: skip
        assert known["for-Lock"]["waits_for"]["holder"] == child.pid
        assert known["for-Lock"]["waits_for"]["held_seconds"] > 0.5
        assert known["for-Event"]["waits_for"]["holder"] is None
        shown = top(child.pid)
        assert shown.returncode == 0
        assert f"by {child.pid} (MainProcess)" in shown.stdout
        assert "for-Queue waits for" in shown.stdout
        child.communicate()
    assert trees(child.pid) == []
    assert "has no arena open" in top(child.pid).stdout
