"""Choose a start method for one use, without changing the default."""

import procession as mp


def who(queue):
    queue.put(mp.get_start_method())


if __name__ == "__main__":
    queue = mp.Queue()  # the same queue serves children of every start method
    for method in sorted(mp.get_all_start_methods()):
        context = mp.get_context(method)
        child = context.Process(target=who, args=(queue,))
        child.start()
        child.join()
        print(method, "->", queue.get())
