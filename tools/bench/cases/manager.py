"""manager.*: calls through proxies."""

from __future__ import annotations

from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any

from bench._crew import Crew
from bench._measure import Sample, Scale, case, check, each, per_call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def _manager(mp: Any) -> Iterator[Any]:
    manager = mp.Manager()
    try:
        yield manager
    finally:
        manager.shutdown()


@case("manager.start")
def start(mp: Any, scale: Scale) -> Sample:
    """Manager() and shutdown()."""
    with _manager(mp) as manager:
        check(list(manager.list([1, 2])) == [1, 2], "the manager does not work")

    def action() -> float:
        began = perf_counter()
        manager = mp.Manager()
        manager.shutdown()
        return perf_counter() - began

    return Sample(each(action, scale.pick(15, 5)) * 1e3, "ms")


def _calls(loop: Callable[[int], None], scale: Scale, calls: int = 1) -> Sample:
    """Calls per second of a loop that makes ``calls`` calls a turn."""
    return Sample(calls / per_call(loop, scale, start=50), "calls/s")


@case("manager.dict.set")
def dict_set(mp: Any, scale: Scale) -> Sample:
    """``d[k] = v``."""
    with _manager(mp) as manager:
        proxy = manager.dict()

        def loop(n: int) -> None:
            for index in range(n):
                proxy["key"] = index
            check(proxy["key"] == n - 1, "read otherwise than written")

        return _calls(loop, scale)


@case("manager.dict.get")
def dict_get(mp: Any, scale: Scale) -> Sample:
    """``d[k]``."""
    with _manager(mp) as manager:
        proxy = manager.dict({"key": 7})

        def loop(n: int) -> None:
            total = 0
            for _ in range(n):
                total += proxy["key"]
            check(total == 7 * n, "read otherwise than written")

        return _calls(loop, scale)


@case("manager.dict.value100k")
def dict_large(mp: Any, scale: Scale) -> Sample:
    """``d[k]`` that returns 100 KB of bytes."""
    payload = b"\x05" * 100_000
    with _manager(mp) as manager:
        proxy = manager.dict({"key": payload})

        def loop(n: int) -> None:
            for _ in range(n):
                value = proxy["key"]
            check(value == payload, "read otherwise than written")

        return _calls(loop, scale)


def _set_for(proxy: Any, key: int, seconds: float) -> int:
    count = 0
    until = perf_counter() + seconds
    while perf_counter() < until:
        for _ in range(10):
            count += 1
            proxy[key] = count
    return count


@case("manager.dict.4clients")
def dict_clients(mp: Any, scale: Scale) -> Sample:
    """``d[k] = v`` from four processes, calls per second in all."""
    with _manager(mp) as manager:
        proxy = manager.dict()
        with Crew(mp) as crew:
            for key in range(4):
                crew.add(_set_for, proxy, key, scale.window)
            seconds, counts = crew.run()
        check([proxy[key] for key in range(4)] == counts, "calls were lost")
        return Sample(sum(counts) / seconds, "calls/s")


@case("manager.list.append")
def list_append(mp: Any, scale: Scale) -> Sample:
    """``l.append(i)``."""
    with _manager(mp) as manager:
        proxy = manager.list()
        done = 0

        def loop(n: int) -> None:
            nonlocal done
            for index in range(n):
                proxy.append(index)
            done += n

        sample = _calls(loop, scale)
        check(len(proxy) == done, f"{done} appends made {len(proxy)} items")
        return sample


@case("manager.namespace")
def namespace(mp: Any, scale: Scale) -> Sample:
    """``ns.x = i`` and ``ns.x``."""
    with _manager(mp) as manager:
        proxy = manager.Namespace()

        def loop(n: int) -> None:
            for index in range(n):
                proxy.x = index
                if proxy.x != index:
                    check(False, "read otherwise than written")

        return _calls(loop, scale, 2)


@case("manager.value")
def value(mp: Any, scale: Scale) -> Sample:
    """``v.value = i`` and ``v.value``."""
    with _manager(mp) as manager:
        proxy = manager.Value("i", 0)

        def loop(n: int) -> None:
            for index in range(n):
                proxy.value = index
                if proxy.value != index:
                    check(False, "read otherwise than written")

        return _calls(loop, scale, 2)


@case("manager.queue")
def queue(mp: Any, scale: Scale) -> Sample:
    """``q.put(i)`` and ``q.get()``."""
    with _manager(mp) as manager:
        proxy = manager.Queue()

        def loop(n: int) -> None:
            for index in range(n):
                proxy.put(index)
                if proxy.get() != index:
                    check(False, "got otherwise than put")

        return _calls(loop, scale, 2)


@case("manager.lock")
def lock(mp: Any, scale: Scale) -> Sample:
    """acquire and release."""
    with _manager(mp) as manager:
        proxy = manager.Lock()

        def loop(n: int) -> None:
            for _ in range(n):
                if not proxy.acquire():
                    check(False, "not acquired")
                proxy.release()

        return _calls(loop, scale, 2)


@case("manager.proxy.create")
def proxy_create(mp: Any, scale: Scale) -> Sample:
    """``m.list([1, 2, 3])``, kept alive."""
    with _manager(mp) as manager:
        count = scale.pick(150, 40)
        manager.list([1, 2, 3])
        began = perf_counter()
        proxies = [manager.list([1, 2, 3]) for _ in range(count)]
        seconds = perf_counter() - began
        check(proxies[0] is not proxies[-1] and list(proxies[-1]) == [1, 2, 3], "the referent is another")
        return Sample(seconds / count * 1e6, "us")
