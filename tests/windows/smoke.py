"""Use what Windows has of the family: processes, connections, synchronisation, queues, values, a pool.

Run by hand or by ``tools/wine.py`` with a Windows Python; prints a line for each part, and ``all passed`` last.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any

import procession as mp
from procession.connection import wait

PATIENCE = 60


def put_and_end(queue: Any, code: int) -> None:
    queue.put((os.getpid(), mp.current_process().name, mp.parent_process().pid))
    queue.close()
    queue.join_thread()
    sys.exit(code)


def echo(connection: Any) -> None:
    try:
        while True:
            connection.send(connection.recv())
    except EOFError:
        pass


def idle() -> None:
    time.sleep(10 * PATIENCE)


def watch_parent(connection: Any) -> None:
    connection.send(mp.parent_process().is_alive())


def add(lock: Any, value: Any, times: int) -> None:
    for _ in range(times):
        with lock:
            value.value += 1


def set_when_set(first: Any, second: Any) -> None:
    if first.wait(PATIENCE):
        second.set()


def take_turns(condition: Any, turn: Any, me: int, rounds: int) -> None:
    for _ in range(rounds):
        with condition:
            if not condition.wait_for(lambda: turn.value % 2 == me, PATIENCE):
                os._exit(4)
            turn.value += 1
            condition.notify_all()


def meet(barrier: Any, queue: Any) -> None:
    barrier.wait(PATIENCE)
    queue.put("met")


def work(inbox: Any, outbox: Any) -> None:
    while (item := inbox.get()) is not None:
        outbox.put(item * item)
        inbox.task_done()
    inbox.task_done()


def square(x: int) -> int:
    return x * x


def fail(x: int) -> int:
    raise KeyError(x)


def die(x: int) -> int:
    os._exit(7)


def check(truth: object, what: object = "") -> None:
    if not truth:
        raise AssertionError(what)


def processes() -> None:
    check(mp.get_all_start_methods() == ["spawn"])
    queue = mp.Queue()
    child = mp.Process(target=put_and_end, args=(queue, 5), name="worker")
    child.start()
    pid, name, parent = queue.get(timeout=PATIENCE)
    child.join(PATIENCE)
    check((pid, name, parent, child.exitcode) == (child.pid, "worker", os.getpid(), 5), child)
    child = mp.Process(target=idle, daemon=True)
    child.start()
    check(child.is_alive() and child.exitcode is None and wait([child.sentinel], 0.1) == [])
    child.terminate()
    check(wait([child.sentinel], PATIENCE) == [child.sentinel])
    child.join(PATIENCE)
    check(child.exitcode == -15, child)
    child.close()


def connections() -> None:
    ours, theirs = mp.Pipe()
    child = mp.Process(target=echo, args=(theirs,))
    child.start()
    theirs.close()
    for message in (None, (1, "two", [3.0]), b"", b"x" * 10, b"y" * 3_000_000):
        ours.send(message)
        check(ours.poll(PATIENCE))
        check(ours.recv() == message)
    check(not ours.poll(0.05))
    ours.close()
    child.join(PATIENCE)
    check(child.exitcode == 0, child)
    reader, writer = mp.Pipe(duplex=False)
    threading.Timer(0.1, writer.send_bytes, (b"late",)).start()
    other, idle_end = mp.Pipe(duplex=False)
    check(wait([other, reader], PATIENCE) == [reader])
    check(reader.recv_bytes() == b"late")
    writer.close()
    check(wait([reader], PATIENCE) == [reader])
    try:
        reader.recv()
    except EOFError:
        pass
    else:
        raise AssertionError("no EOFError")
    for end in (reader, other, idle_end):
        end.close()
    ours, theirs = mp.Pipe()
    child = mp.Process(target=watch_parent, args=(theirs,))
    child.start()
    check(ours.recv() is True)
    child.join(PATIENCE)


def internet() -> None:
    from procession.connection import Client, Listener

    with Listener(("127.0.0.1", 0), authkey=b"key") as listener:
        got: list[Any] = []

        def serve() -> None:
            with listener.accept() as connection:
                got.append(connection.recv())
                connection.send("back")

        server = threading.Thread(target=serve)
        server.start()
        with Client(listener.address, authkey=b"key") as client:
            client.send({"a": [1, 2]})
            check(client.recv() == "back")
        server.join(PATIENCE)
        check(got == [{"a": [1, 2]}])


def synchronisation() -> None:
    value = mp.Value("i", 0)
    lock = mp.Lock()
    crew = [mp.Process(target=add, args=(lock, value, 200)) for _ in range(3)]
    first, second = mp.Event(), mp.Event()
    crew.append(mp.Process(target=set_when_set, args=(first, second)))
    condition, turn = mp.Condition(), mp.Value("i", 0)
    crew += [mp.Process(target=take_turns, args=(condition, turn, me, 10)) for me in range(2)]
    barrier, queue = mp.Barrier(3), mp.Queue()
    crew += [mp.Process(target=meet, args=(barrier, queue)) for _ in range(2)]
    for process in crew:
        process.start()
    first.set()
    check(second.wait(PATIENCE))
    barrier.wait(PATIENCE)
    check([queue.get(timeout=PATIENCE) for _ in range(2)] == ["met", "met"])
    for process in crew:
        process.join(PATIENCE)
        check(process.exitcode == 0, process)
    check(value.value == 600, value)
    check(turn.value == 20, turn)
    check(lock.acquire(timeout=1) and not lock.acquire(timeout=0.1))
    lock.release()
    semaphore = mp.BoundedSemaphore(2)
    check(semaphore.acquire() and semaphore.acquire() and not semaphore.acquire(False))
    semaphore.release()


def queues() -> None:
    inbox, outbox = mp.JoinableQueue(), mp.SimpleQueue()
    child = mp.Process(target=work, args=(inbox, outbox))
    child.start()
    for number in range(50):
        inbox.put(number)
    check([outbox.get() for _ in range(50)] == [n * n for n in range(50)])
    inbox.put(None)
    inbox.join()
    child.join(PATIENCE)
    check(child.exitcode == 0, child)
    small = mp.Queue(1)
    small.put(b"z" * 1_000_000)
    try:
        small.put(2, timeout=0.1)
    except mp.queues.Full:
        pass
    else:
        raise AssertionError("no Full")
    check(len(small.get(timeout=PATIENCE)) == 1_000_000)


def shared_memory() -> None:
    from procession.shared_memory import SharedMemory

    segment = SharedMemory(create=True, size=5000)
    segment.buf[:3] = b"abc"
    other = SharedMemory(segment.name)
    check(bytes(other.buf[:3]) == b"abc")
    other.close()
    segment.close()


def pools() -> None:
    with mp.Pool(2) as pool:
        check(pool.map(square, range(40)) == [x * x for x in range(40)])
        check(sorted(pool.imap_unordered(square, range(10))) == [x * x for x in range(10)])
        check(pool.apply_async(square, (7,)).get(PATIENCE) == 49)
        try:
            pool.apply(fail, (3,))
        except KeyError:
            pass
        else:
            raise AssertionError("no KeyError")
        try:
            pool.apply_async(die, (1,)).get(PATIENCE)
        except mp.WorkerDiedError as error:
            check(error.exitcode == 7, error)
        else:
            raise AssertionError("no WorkerDiedError")
        check(pool.map(square, range(5)) == [0, 1, 4, 9, 16])


PARTS = (processes, connections, internet, synchronisation, queues, shared_memory, pools)


def main() -> int:
    failed = 0
    for part in PARTS:
        if sys.argv[1:] and part.__name__ not in sys.argv[1:]:
            continue
        begun = time.monotonic()
        try:
            part()
        except Exception:
            import traceback

            traceback.print_exc()
            failed += 1
            print(f"{part.__name__}: FAILED", flush=True)
        else:
            print(f"{part.__name__}: passed in {time.monotonic() - begun:.1f} s", flush=True)
    print(
        f"{sys.version.split()[0]} on {sys.platform}: {f'{failed} failed' if failed else 'all passed'}",
        flush=True,
    )
    return failed


if __name__ == "__main__":
    sys.exit(main())
