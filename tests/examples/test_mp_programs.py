"""Programs of the 2009 manual: what their output must show."""

from __future__ import annotations

import collections
import http.client
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
RUN_WITH = Path(__file__).with_name("run_with.py")
SECTIONS = [
    "testing Queue.Queue",
    "testing multiprocessing.Queue",
    "testing Queue managed by server process",
    "testing Pipe with processes",
    "testing list",
    "testing list managed by server process",
    'testing Array("i", ..., lock=False)',
    'testing Array("i", ..., lock=True)',
    "testing threading.Lock",
    "testing threading.RLock",
    "testing multiprocessing.Lock",
    "testing multiprocessing.RLock",
    "testing lock managed by server process",
    "testing rlock managed by server process",
    "testing threading.Condition",
    "testing multiprocessing.Condition",
    "testing condition managed by a server process",
]


def command(method, name, *arguments):
    return [sys.executable, str(RUN_WITH), method, str(EXAMPLES / f"{name}.py"), *arguments]


def run(method, name, *arguments):
    done = subprocess.run(
        command(method, name, *arguments),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def section(text, begin, end):
    return text.partition(begin)[2].partition(end)[0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["processes", "threads"])
def test_pool(kind, start_method):
    if kind == "threads" and start_method != "fork":
        pytest.skip("threads have no start method")
    text = run(start_method, "mp_pool", kind)
    assert re.search(r"cpu_count\(\) = \d+", text)
    assert re.search(r"pool = <.*pool_size=4", text)
    said = r"(\S+) says that mul\((\d+), 7\) = (\d+)"
    right = [(str(i), str(7 * i)) for i in range(20)]
    workers = set()
    for begin, end in (("pool.apply_async():", "Ordered"), ("pool.imap():", "Unordered")):
        found = re.findall(said, section(text, begin, end))
        assert [line[1:] for line in found] == right
        workers |= {line[0] for line in found}
    found = re.findall(said, section(text, "pool.imap_unordered():", "Ordered"))
    assert sorted(line[1:] for line in found) == sorted(right)
    assert len(workers | {line[0] for line in found}) == 4
    found = re.findall(r"plus\((\d+), 8\) = (\d+)", section(text, "till complete:", "pow3 over"))
    assert found == [(str(i), str(i + 8)) for i in range(20)]
    assert text.count("equal: True") == 2
    for name in ("pool.apply()", "pool.map()", "list(pool.imap())", "item 5 of IMapIterator"):
        assert f"Got ZeroDivisionError as expected from {name}" in text
    assert "the other 9 items came" in text
    assert re.search(r"IMapIterator.next\(\) with timeout: [.]+0[.]*1[.]*2$", text, re.MULTILINE)
    assert "callbacks succeeded" in text and "tasks left in the cache: 0" in text
    for what in ("close()", "terminate()", "garbage collection"):
        assert f"{what} succeeded" in text


def test_workers(start_method):
    lines = run(start_method, "mp_workers").splitlines()
    assert lines[0] == "Unordered results:"
    found = [
        re.fullmatch(r"\t (Process-[1-4]) says that (mul|plus)\((\d+), (7|8)\) = (\d+)", line).groups()
        for line in lines[1:]
    ]
    assert sorted((int(line[2]), int(line[4])) for line in found[:20]) == [(i, 7 * i) for i in range(20)]
    assert sorted((int(line[2]), int(line[4])) for line in found[20:]) == [(i, i + 8) for i in range(10)]
    assert {line[1] for line in found[:20]} == {"mul"} and {line[1] for line in found[20:]} == {"plus"}


def test_benchmarks(start_method):
    text = run(start_method, "mp_benchmarks", "0.01")
    assert re.findall(r"######## (.*)", text) == SECTIONS
    rates = [int(rate) for rate in re.findall(r"average number/sec: (\d+)", text)]
    assert len(rates) == len(SECTIONS) and all(rate > 0 for rate in rates)


def fetch(port, number, failures):
    for _ in range(number):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", "/page.txt")
            if connection.getresponse().read() != b"the page\n":
                failures.append("wrong answer")
            connection.close()
        except OSError as error:
            failures.append(repr(error))


@pytest.mark.linux_only
def test_webserver(start_method, tmp_path):
    (tmp_path / "page.txt").write_text("the page\n")
    log = tmp_path / "log"
    with (
        open(log, "w") as stderr,
        subprocess.Popen(
            command(start_method, "mp_webserver", "0", str(tmp_path)),
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        ) as server,
    ):
        try:
            first = server.stdout.readline()
            port = int(re.search(r"http://127.0.0.1:(\d+)/ using 4 worker processes", first)[1])
            deadline = time.monotonic() + 60
            while log.read_text().count("starting server") < 4:
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.02)
            served = collections.Counter()
            failures = []
            while len(served) < 2 and time.monotonic() < deadline:
                clients = [threading.Thread(target=fetch, args=(port, 10, failures)) for _ in range(8)]
                for client in clients:
                    client.start()
                for client in clients:
                    client.join()
                served.update(re.findall(r'\[(\S+)\] "GET /page.txt', log.read_text()))
            assert not failures
            assert len(served) >= 2, served
            os.killpg(server.pid, signal.SIGINT)
            assert server.wait(60) == 0, log.read_text()
        finally:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGKILL)
    starting = re.findall(r"\[(\S+)\] starting server", log.read_text())
    assert len(set(starting)) == 4 and "MainProcess" in starting
    assert "Traceback" not in log.read_text()


def test_distributing_over_hosts(start_method):
    text = run(start_method, "mp_distributing")
    assert "slots: 4" in text and "exit codes: [0, 0, 0, 0]" in text
    assert f"squares: {[n * n for n in range(10)]}" in text
    names = text.partition("processes:")[2].split()
    assert names == [
        "localhost/Process-1",
        "localhost/Process-2",
        "otherhost/Process-1",
        "otherhost/Process-2",
    ]


@pytest.mark.slow
def test_distributing_over_dask():
    pytest.importorskip("distributed", reason="distributed is not installed (tox -e cluster installs it)")
    pytest.importorskip("procession_cluster")
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "mp_distributing.py"), "dask"],
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert f"squares: {[n * n for n in range(10)]}" in done.stdout, done.stderr
