"""scale.*: more workers, more producers, and the memory of a worker."""

from __future__ import annotations

import os
from time import monotonic, sleep
from typing import Any

from bench._measure import Sample, Scale, Unsupported, case, check, median, rate
from bench.cases.pool import increment, map_rate
from bench.cases.queues import stream


def _workers(processes: int) -> None:
    @case(f"scale.pool.w{processes}")
    def workers(mp: Any, scale: Scale) -> Sample:
        return map_rate(mp, processes, 1, scale, 1000, 100_000)


for _count in (1, 2, 4, 16, 64):
    _workers(_count)


def _producers(producers: int) -> None:
    @case(f"scale.queue.p{producers}")
    def producing(mp: Any, scale: Scale) -> Sample:
        return Sample(rate(lambda n: stream(mp, mp.Queue, producers, 1, n), 4000, scale), "items/s")


for _count in (1, 2, 4, 8, 16, 32):
    _producers(_count)


def _memory(pid: int) -> tuple[int, int, int]:
    """PSS, RSS and USS of a process in KB."""
    fields = {}
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        for line in file:
            name, _, rest = line.partition(":")
            words = rest.split()
            if len(words) == 2 and words[1] == "kB":
                fields[name] = int(words[0])
    return fields["Pss"], fields["Rss"], fields["Private_Clean"] + fields["Private_Dirty"]


def _settled(pids: list[int]) -> list[tuple[int, int, int]]:
    """The figures of *pids*, once all of them are idle: the first workers that are up may do all tasks, while the
    others still import.
    """
    deadline = monotonic() + 10
    figures: list[tuple[int, int, int]] = []
    while True:
        before, figures = figures, [_memory(pid) for pid in pids]
        # Their own pages: what the kernel counts as shared changes with other processes.
        if [uss for _, _, uss in before] == [uss for _, _, uss in figures]:
            return figures
        check(monotonic() < deadline, "the workers do not come to rest")
        sleep(0.3)


def _idle(method: str) -> None:
    @case(f"scale.mem.{method}")
    def idle(mp: Any, scale: Scale) -> Sample:
        if not hasattr(mp, "get_context") or not hasattr(mp, "active_children"):
            raise Unsupported("it does not say which processes are its workers")
        pool = mp.get_context(method).Pool(4)
        check(pool.map(increment, range(100), 1) == list(range(1, 101)), "wrong results")
        pids = [process.pid for process in mp.active_children()]
        check(len(pids) == 4 and os.getpid() not in pids, f"the workers are {pids}")
        figures = _settled(pids)
        pool.close()
        pool.join()
        pss, rss, uss = ([float(figure[index]) for figure in figures] for index in range(3))
        return Sample(median(pss), "KB", rss_kb=median(rss), uss_kb=median(uss))


for _method in ("fork", "spawn", "forkserver"):
    _idle(_method)
