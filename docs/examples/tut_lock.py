"""Several processes change one number."""

import procession as mp


def add(counter, lock):
    for _ in range(1000):
        with lock:  # reading, adding and writing must not be torn apart
            counter.value += 1


if __name__ == "__main__":
    lock = mp.Lock()
    counter = mp.RawValue("i", 0)
    children = [mp.Process(target=add, args=(counter, lock)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    print(counter.value)
