"""Hand out work and collect answers through queues."""

import procession as mp


def work(tasks, answers):
    while (number := tasks.get()) is not None:
        answers.put((number, number * number))


if __name__ == "__main__":
    tasks, answers = mp.Queue(), mp.Queue()
    workers = [mp.Process(target=work, args=(tasks, answers)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for number in range(5):
        tasks.put(number)
    for _ in workers:
        tasks.put(None)  # one for each worker: no more work

    # Joining before reading is fine here: what was put is in shared memory.
    for worker in workers:
        worker.join()
    print(sorted(answers.get() for _ in range(5)))
