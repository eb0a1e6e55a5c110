"""The parent may drop a shared object as soon as the child has been started."""

import procession as mp


def use(lock, queue, go):
    go.wait()
    with lock:
        queue.put("the lock is still there")


if __name__ == "__main__":
    queue, go, lock = mp.Queue(), mp.Event(), mp.Lock()
    child = mp.Process(target=use, args=(lock, queue, go))
    child.start()
    del lock
    go.set()
    print(queue.get())
    child.join()
