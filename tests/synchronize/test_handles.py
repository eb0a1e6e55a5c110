"""Pickles of synchronisation objects: what they carry, what damaged ones do, and what uses memory for how long."""

from __future__ import annotations

import gc
import os
import pickle
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import procession_core
from procession_core import ForeignTreeError, InheritanceError, StaleHandleError
from procession_synchronize import Barrier, BoundedSemaphore, Condition, Event, Lock, RLock, Semaphore
from tests.synchronize.helpers import finish, start

MAKERS = [
    Lock,
    RLock,
    Semaphore,
    BoundedSemaphore,
    Event,
    Condition,
    lambda: Condition(Lock()),
    lambda: Barrier(2),
]


def core() -> Any:
    import procession_native

    return procession_native.core


@pytest.mark.portable_only
@pytest.mark.parametrize("maker", MAKERS)
def test_portable_objects_go_only_to_children(maker: Any) -> None:
    with pytest.raises(InheritanceError, match="should only be shared between processes through inheritance"):
        pickle.dumps(maker())


@pytest.mark.native_only
@pytest.mark.parametrize("maker", MAKERS)
def test_a_pickle_names_the_same_object(maker: Any) -> None:
    made = maker()
    again = pickle.loads(pickle.dumps(made))
    assert type(again) is type(made)
    assert again.handle() == made.handle()
    if hasattr(made, "acquire"):
        made.acquire()
        if hasattr(made, "get_value"):
            value = made.get_value()
            assert again.acquire(False) is (value > 0) and made.get_value() == max(0, value - 1)
        else:
            # A recursive one is this thread's by any handle.
            assert again.acquire(False) is ("RLock" in repr(made))


@pytest.mark.native_only
def test_two_handles_are_one_lock() -> None:
    lock = Lock()
    again = pickle.loads(pickle.dumps(lock))
    with lock:
        assert again.locked()
        assert again.acquire(False) is False
    event = Event()
    pickle.loads(pickle.dumps(event)).set()
    assert event.is_set()
    cond = Condition(lock)
    other = pickle.loads(pickle.dumps(cond))
    with other:
        assert lock.locked()


class Subclass(Lock):
    """A class of the user's."""


@pytest.mark.native_only
def test_subclasses_stay_what_they_are() -> None:
    assert type(pickle.loads(pickle.dumps(Subclass()))) is Subclass


@pytest.mark.native_only
def test_a_barrier_keeps_its_action_and_timeout() -> None:
    made = Barrier(2, timeout=0.01, action=gc.isenabled)
    barrier = pickle.loads(pickle.dumps(made))
    assert barrier._timeout == 0.01
    assert barrier._action is gc.isenabled


class Carrier:
    """A transfer that keeps what the pickle names."""

    spawning = False

    def __init__(self) -> None:
        self.held: list[Any] = []

    def hold(self, shared: Any) -> None:
        self.held.append(shared)

    def send_fd(self, fd: int) -> object:
        raise AssertionError


@pytest.mark.native_only
def test_the_carrier_is_told() -> None:
    carrier = Carrier()
    cond = Condition()
    with procession_core.transfer_scope(carrier):
        pickle.dumps([cond, Event()])
    assert [type(shared).__name__ for shared in carrier.held] == ["Condition", "RLock", "Event"]


@pytest.mark.native_only
@pytest.mark.parametrize("maker", MAKERS)
def test_a_pickle_alone_keeps_nothing_alive(maker: Any) -> None:
    data = pickle.dumps(maker())
    gc.collect()
    with pytest.raises(StaleHandleError):
        pickle.loads(data)


@pytest.mark.native_only
def test_another_tree_refuses() -> None:
    lock = Lock()
    program = (
        "import pickle, sys, procession_core\n"
        "try:\n    pickle.loads(bytes.fromhex(sys.argv[1]))\n"
        "except procession_core.ForeignTreeError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, pickle.dumps(lock).hex()], capture_output=True, text=True, timeout=60
    )
    assert "another process tree" in done.stdout, done.stderr


@pytest.mark.native_only
@pytest.mark.parametrize("cls", [Lock, RLock, Semaphore, Event, Barrier])
def test_damaged_handles(cls: Any) -> None:
    """Whatever the numbers, an exception and never a crash."""
    keep = Barrier(1) if cls is Barrier else cls()
    good = keep.handle()
    numbers = [
        0,
        1,
        7,
        64,
        4096,
        2**18,
        2**22,
        2**26 - 32,
        2**26,
        2**32,
        2**40,
        2**63,
        2**64 - 32,
        2**64 - 1,
        2**70,
        -1,
    ]
    errors = (ValueError, StaleHandleError, ForeignTreeError)
    for field in range(4):
        for number in [*numbers, good[field] + 1, good[field] - 1, good[field] + 32, good[field] ^ 2**20]:
            handle = list(good)
            if handle[field] == number:
                continue
            handle[field] = number
            with pytest.raises(errors):
                cls._open(tuple(handle))
    for wrong in [None, (), good[:3], (*good, 1), ("a", *good[1:]), list(good), (1.5, *good[1:]), b"handle"]:
        with pytest.raises((ValueError, TypeError)):
            cls._open(wrong)
    rng = __import__("random").Random(7)
    for _ in range(3000):
        handle = (
            good[0],
            rng.randrange(2 ** rng.randrange(1, 64)),
            rng.randrange(2 ** rng.randrange(1, 48)),
            good[3],
        )
        with pytest.raises(errors):
            cls._open(handle)
    assert cls._open(good).handle() == good


@pytest.mark.native_only
def test_a_conditions_handle_needs_its_lock() -> None:
    cond, other = Condition(), RLock()
    with pytest.raises(ValueError, match="another lock"):
        Condition._open((cond.handle(), other))
    for wrong in [None, (cond.handle(),), (cond.handle(), 3), cond.handle()]:
        with pytest.raises((ValueError, TypeError)):
            Condition._open(wrong)


def drop_objects() -> None:
    def round_trip() -> None:
        for maker in MAKERS:
            made = [maker() for _ in range(20)]
            made.append(pickle.loads(pickle.dumps(made[0])))

    round_trip()
    gc.collect()
    before = core().memory()["used"]
    for _ in range(5):
        round_trip()
    gc.collect()
    assert core().memory()["used"] == before
    assert core().check() is None


def drop_cycles() -> None:
    Lock()
    gc.collect()
    before = core().memory()["used"]
    for _ in range(10):
        cond = Condition(Subclass())
        cond._lock.cond = cond
        cond.me = cond
        barrier = Barrier(1)
        barrier.me = barrier
    del cond, barrier
    gc.collect()
    assert core().memory()["used"] == before


@pytest.mark.native_only
@pytest.mark.parametrize("function", [drop_objects, drop_cycles])
def test_nothing_is_left_of_dropped_objects(function: Any) -> None:
    # In a tree of its own: in this one the fork server makes spare processes, and earlier children still end.
    code = f"from {__name__} import {function.__name__} as function; function()"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, stderr=subprocess.PIPE, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def use(objects: Any) -> None:
    for each in objects:
        if hasattr(each, "acquire"):
            with each:
                pass
        elif hasattr(each, "set"):
            each.set()
        else:
            each.abort()


def test_all_kinds_go_to_a_child(start_method: str, make: Any) -> None:
    objects = [
        make.Lock(),
        make.RLock(),
        make.Semaphore(),
        make.BoundedSemaphore(),
        make.Event(),
        make.Condition(),
    ]
    objects.append(make.Barrier(2))
    finish(start(start_method, use, objects))
    assert objects[4].is_set()
    assert objects[6].broken


@pytest.mark.native_only
@pytest.mark.linux_only
def test_nothing_has_a_name() -> None:
    before = set(os.listdir("/dev/shm"))
    keep = [maker() for maker in MAKERS]
    assert set(os.listdir("/dev/shm")) - before == set()
    assert len(keep) == len(MAKERS)


@pytest.mark.native_only
@pytest.mark.linux_only
def test_an_uncontended_operation_makes_no_system_call() -> None:
    """Counted by the kernel: a seccomp filter ends the process at any call but write and exit."""
    if platform.machine() != "x86_64":
        pytest.skip("the filter holds the numbers of x86-64's system calls")
    program = """
import ctypes, gc, os, struct
from procession_synchronize import *
lock, rlock, sem, event, cond = Lock(), RLock(), Semaphore(2), Event(), Condition()
tracked = BoundedSemaphore(2, track_holders=True)
def use():
    for _ in range(200):
        lock.acquire(); lock.release(); lock.acquire(False); lock.release(); lock.acquire(timeout=1); lock.release()
        with lock: pass
        with rlock:
            with rlock: pass
        with sem: pass
        with tracked: pass
        sem.release(); sem.acquire(timeout=1)
        event.set(); event.is_set(); event.wait(); event.wait(1); event.clear(); event.wait(0)
        with cond: cond.notify(); cond.notify_all()
use()
libc = ctypes.CDLL(None)
rules = [(0x20, 0, 0, 0), (0x15, 3, 0, 1), (0x15, 2, 0, 60), (0x15, 1, 0, 231), (0x06, 0, 0, 0x80000000),
         (0x06, 0, 0, 0x7fff0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
head = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(rules), ctypes.addressof(code)))
gc.disable()
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, head, 0, 0):
    os._exit(77)
use()
os.write(1, b"clean")
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    if done.returncode == 77:
        pytest.skip("seccomp is not available")
    assert done.stdout == b"clean", (done.returncode, done.stderr)
