"""Tasks that do to their worker what they should not."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from procession_pool import Pool


def end_elsewhere(home: int, status: int) -> Exception:
    """Ends whoever unpickles it, but for the worker itself."""
    if os.getpid() != home:
        sys.exit(status)
    return ValueError()


class EndsItsReader(Exception):
    def __reduce__(self) -> Any:
        return end_elsewhere, (os.getpid(), 9)


class EndsItsPickler(Exception):
    def __reduce__(self) -> Any:
        sys.exit(3)


class CannotBeShown(Exception):
    def __str__(self) -> str:  # noqa: PLE0307
        sys.exit(4)

    __repr__ = __str__


class IsNoError(Exception):
    def __reduce__(self) -> Any:
        return int, ("3",)


class IsNonsense(Exception):
    def __reduce__(self) -> Any:
        return "nonsense"


ERRORS = {
    error.__name__: error for error in (EndsItsReader, EndsItsPickler, CannotBeShown, IsNoError, IsNonsense)
}


def fail_with(name: str) -> None:
    raise ERRORS[name]()


class Result:
    """Cannot be pickled or shown."""

    def __reduce__(self) -> Any:
        raise TypeError("no")

    def __repr__(self) -> str:
        sys.exit(5)


def return_result() -> Any:
    return Result()


def close_everything(x: int) -> int:
    os.closerange(3, 4096)
    return x


kept: list[Any] = []


def close_everything_and_open(folder: str) -> int:
    os.closerange(3, 4096)
    kept.extend(Path(folder, str(i)).open("w+b") for i in range(40))
    return 0


def fork_and_come_back(x: int) -> object:
    return "the child's" if os.fork() == 0 else x


def fork_and_leave(path: str) -> int:
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    return pid


def daemonize(x: int) -> str:
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    return "daemon"


def new_session(x: int) -> int:
    os.setsid()
    return x


def block_signals(x: int) -> int:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    return x


def ignore_sigterm(x: int) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return x


def stop_itself(x: int) -> int:
    os.kill(os.getpid(), signal.SIGSTOP)
    return x


def leave_a_thread(x: int) -> int:
    threading.Thread(target=time.sleep, args=(60,)).start()
    return x


def lose_the_folder(folder: str) -> None:
    os.chdir(folder)
    os.rmdir(folder)


the_pool: Pool | None = None


def use_the_pool(worker: int) -> object:
    assert os.getpid() != worker and the_pool is not None
    return the_pool.apply(abs, (-3,))


class UsesItsPool:
    def __reduce__(self) -> Any:
        return use_the_pool, (os.getpid(),)


def return_a_user() -> Any:
    return UsesItsPool()
