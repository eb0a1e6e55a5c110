"""Shared objects travel through queues, pipes and pool tasks."""

import procession as mp


def use(box):
    lock, answers = box.get()
    with lock:
        answers.put("the lock came through a queue")


def in_worker(lock, event):
    with lock:
        event.set()
    return "and as an argument of a task"


if __name__ == "__main__":
    box, answers = mp.Queue(), mp.Queue()
    child = mp.Process(target=use, args=(box,))
    child.start()
    lock = mp.Lock()
    box.put((lock, answers))
    del lock  # the message holds its own reference
    print(answers.get())
    child.join()

    event = mp.Event()
    with mp.Pool(1) as pool:
        print(pool.apply(in_worker, (mp.Lock(), event)), event.is_set())
