"""queue.*, simplequeue.*, joinablequeue.*: items from producers to consumers, each a process."""

from __future__ import annotations

from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from bench._crew import Crew
from bench._measure import Sample, Scale, case, check, per_call, rate

if TYPE_CHECKING:
    from collections.abc import Callable


def produce(queue: Any, first: int, count: int, ends: int) -> int:
    """Put the ints from ``first`` on, then ``ends`` times None."""
    put = queue.put
    for value in range(first, first + count):
        put(value)
    for _ in range(ends):
        put(None)
    return count


def consume(queue: Any, ends: int) -> list[int]:
    """Take ints until ``ends`` times None was met; their number and their sum."""
    get = queue.get
    count = total = 0
    while ends:
        value = get()
        if value is None:
            ends -= 1
        else:
            count += 1
            total += value
    return [count, total]


def _consume_many(queue: Any, get_many: Callable[..., list[int]] | None, n: int) -> list[int]:
    count = total = 0
    if get_many is None:
        get = queue.get
        while count < n:
            total += get()
            count += 1
    else:
        while count < n:
            items = get_many(max_items=1000, timeout=20.0)
            count += len(items)
            total += sum(items)
    return [count, total]


def stream(mp: Any, make: Callable[[], Any], producers: int, consumers: int, n: int) -> float:
    """Seconds for about n ints; every one is checked to have arrived once."""
    share = max(1, n // producers)
    n = share * producers
    # A producer's items precede its own None, so the last None to be taken is the last of all; the
    # number of Nones fits in every shape that is measured: one side has one process, or both as many.
    ends_put = consumers if producers == 1 else 1
    ends_taken = producers if consumers == 1 else 1
    queue = make()
    with Crew(mp) as crew:
        for _ in range(consumers):
            crew.add(consume, queue, ends_taken)
        for index in range(producers):
            crew.add(produce, queue, index * share, share, ends_put)
        seconds, values = crew.run()
    got = values[:consumers]
    check(sum(count for count, _ in got) == n, f"{n} items arrived as {got}")
    check(sum(total for _, total in got) == n * (n - 1) // 2, "the items arrived otherwise than put")
    return seconds


def _shape(kind: str, producers: int, consumers: int) -> None:
    @case(f"{kind.lower()}.small.{producers}p{consumers}c")
    def small(mp: Any, scale: Scale) -> Sample:
        make = getattr(mp, kind)
        return Sample(rate(lambda n: stream(mp, make, producers, consumers, n), 4000, scale), "items/s")


for _kind in ("Queue", "SimpleQueue"):
    for _producers, _consumers in ((1, 1), (4, 1), (1, 4), (4, 4)):
        _shape(_kind, _producers, _consumers)


@case("queue.many.1p1c")
def many(mp: Any, scale: Scale) -> Sample:
    """Small ints; the consumer uses get_many where the queue has one."""

    def run(n: int) -> float:
        queue = mp.Queue()
        get_many = getattr(queue, "get_many", None)
        if hasattr(mp, "get_many"):
            get_many = partial(mp.get_many, queue)
        with Crew(mp) as crew:
            crew.add(_consume_many, queue, get_many, n)
            crew.add(produce, queue, 0, n, 0)
            seconds, values = crew.run()
        check(values[0] == [n, n * (n - 1) // 2], f"{n} items arrived as {values[0]}")
        return seconds

    return Sample(rate(run, 4000, scale), "items/s")


@case("queue.bounded.1p1c")
def bounded(mp: Any, scale: Scale) -> Sample:
    """Queue(maxsize=100) of small ints."""
    return Sample(rate(lambda n: stream(mp, lambda: mp.Queue(maxsize=100), 1, 1, n), 4000, scale), "items/s")


def _produce_dicts(queue: Any, template: dict[str, Any], n: int) -> None:
    for index in range(n):
        queue.put({**template, "index": index})


def _consume_dicts(queue: Any, template: dict[str, Any], n: int) -> int:
    for index in range(n):
        item = queue.get()
        if item["index"] != index or len(item) != len(template) + 1:
            raise ValueError(f"item {index} arrived as {item['index']}")
    check(item == {**template, "index": n - 1}, "the last dict arrived otherwise than put")
    return n


@case("queue.dict1k.1p1c")
def dicts(mp: Any, scale: Scale) -> Sample:
    """Dicts of about 1 KB pickled."""
    template: dict[str, Any] = {f"field_{index}": f"value {index:2d} of it all" for index in range(20)}
    template.update(numbers=list(range(30)), ratio=1.5, text="t" * 150, nested={"a": 1, "b": [1.5, None]})

    def run(n: int) -> float:
        queue = mp.Queue()
        with Crew(mp) as crew:
            crew.add(_consume_dicts, queue, template, n)
            crew.add(_produce_dicts, queue, template, n)
            seconds, _ = crew.run()
        return seconds

    return Sample(rate(run, 2000, scale), "items/s")


def _produce_bytes(queue: Any, payloads: list[bytes], n: int) -> None:
    for index in range(n):
        queue.put(payloads[index % len(payloads)])


def _consume_bytes(queue: Any, n: int) -> list[int]:
    total = marks = 0
    for _ in range(n):
        item = queue.get()
        total += len(item)
        marks += item[0] + item[-1]
    return [total, marks]


def _megabytes(mp: Any, make: Callable[[], Any], scale: Scale) -> Sample:
    size = 1 << 20
    payloads = [bytes([index + 1]) * size for index in range(4)]

    def run(n: int) -> float:
        queue = make()
        with Crew(mp) as crew:
            crew.add(_consume_bytes, queue, n)
            crew.add(_produce_bytes, queue, payloads, n)
            seconds, values = crew.run()
        marks = sum(2 * (index % 4 + 1) for index in range(n))
        check(values[0] == [n * size, marks], "the bytes arrived otherwise than put")
        return seconds

    # Capped: a queue may hold all that its consumer has not yet taken.
    return Sample(rate(run, 20, scale, cap=2000) * size / 1e6, "MB/s")


@case("queue.bytes1m.1p1c")
def megabytes(mp: Any, scale: Scale) -> Sample:
    """Queue of 1 MB bytes made beforehand."""
    return _megabytes(mp, getattr(mp, "large_queue", mp.Queue), scale)


@case("simplequeue.bytes1m.1p1c")
def simple_megabytes(mp: Any, scale: Scale) -> Sample:
    """SimpleQueue of 1 MB bytes made beforehand."""
    return _megabytes(mp, mp.SimpleQueue, scale)


def _echo(requests: Any, answers: Any) -> int:
    count = 0
    while (item := requests.get()) is not None:
        answers.put(item)
        count += 1
    return count


def _round_trip(mp: Any, make: Callable[[], Any], scale: Scale) -> Sample:
    requests, answers = make(), make()
    with Crew(mp) as crew:
        crew.add(_echo, requests, answers)
        crew.go()

        def loop(n: int) -> None:
            for index in range(n):
                requests.put(index)
                answer = answers.get()
                if answer != index:
                    check(False, f"{index} came back as {answer!r}")

        seconds = per_call(loop, scale, start=50)
        requests.put(None)
        crew.results()
    return Sample(seconds * 1e6, "us")


@case("queue.rtt")
def rtt(mp: Any, scale: Scale) -> Sample:
    """There and back through two Queues."""
    return _round_trip(mp, mp.Queue, scale)


@case("simplequeue.rtt")
def simple_rtt(mp: Any, scale: Scale) -> Sample:
    """There and back through two SimpleQueues."""
    return _round_trip(mp, mp.SimpleQueue, scale)


def _consume_tasks(queue: Any, n: int) -> list[int]:
    total = 0
    for _ in range(n):
        total += queue.get()
        queue.task_done()
    return [n, total]


@case("joinablequeue.small.1p1c")
def joinable(mp: Any, scale: Scale) -> Sample:
    """Put n, task_done for each, join()."""

    def run(n: int) -> float:
        queue = mp.JoinableQueue()
        with Crew(mp) as crew:
            crew.add(_consume_tasks, queue, n)
            began = crew.go()
            for value in range(n):
                queue.put(value)
            queue.join()
            seconds = perf_counter() - began
            check(crew.results()[0] == [n, n * (n - 1) // 2], "the items arrived otherwise than put")
        return seconds

    return Sample(rate(run, 4000, scale), "items/s")


@case("queue.create")
def create(mp: Any, scale: Scale) -> Sample:
    """Creation of a Queue, kept alive."""
    count = 150  # The stdlib needs two descriptors for each, and 1024 may be all there are.
    mp.Queue()
    began = perf_counter()
    queues = [mp.Queue() for _ in range(count)]
    seconds = perf_counter() - began
    for queue in (queues[0], queues[-1]):
        queue.put("x")
        check(queue.get() == "x", "the queue does not work")
    return Sample(seconds / count * 1e6, "us")
