"""Three stages joined by queues, the last word handed on, and a bounded queue in between."""

from __future__ import annotations

import sys
from multiprocessing import Process, Queue, cpu_count, current_process, set_start_method

END = "end"


def read(out, lines):
    for number, line in enumerate(lines):
        out.put((number, line))
    for _ in range(2):
        out.put(END)


def count(into, out):
    for number, line in iter(into.get, END):
        out.put((number, current_process().name, len(line.split())))
    out.put(END)


def gather(into, answer):
    total, ended = {}, 0
    while ended < 2:
        item = into.get()
        if item == END:
            ended += 1
        else:
            number, name, words = item
            assert name in ("counter 0", "counter 1")
            total[number] = words
    answer.put([total[number] for number in sorted(total)])


if __name__ == "__main__":
    set_start_method(sys.argv[1])
    lines = ["word " * (number % 7) for number in range(50)]
    first, second, answer = Queue(maxsize=4), Queue(), Queue()
    processes = [Process(target=count, args=(first, second), name=f"counter {n}") for n in range(2)]
    processes += [Process(target=gather, args=(second, answer)), Process(target=read, args=(first, lines))]
    for process in processes:
        process.start()
    print(answer.get())
    for process in processes:
        process.join()
    print([process.exitcode for process in processes], cpu_count() > 0)
