"""A global variable is the child's own: under fork a copy, otherwise what importing the module gives."""

import procession as mp

setting = "as imported"


def show(queue):
    queue.put(setting)


if __name__ == "__main__":
    setting = "changed by the parent"
    queue = mp.Queue()
    for method in ("fork", "spawn", "forkserver"):
        child = mp.get_context(method).Process(target=show, args=(queue,))
        child.start()
        child.join()
        print(f"{method}: {queue.get()}")
