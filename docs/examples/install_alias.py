"""Replace ``multiprocessing`` for code that imports it itself."""

import procession

procession.install()  # before anything imports multiprocessing

import multiprocessing  # noqa: E402
import multiprocessing.pool  # noqa: E402


def which(_):
    import multiprocessing.queues

    return multiprocessing.queues.__name__


if __name__ == "__main__":
    print(multiprocessing is procession)
    with multiprocessing.pool.Pool(1) as pool:
        print(pool.map(which, [None]))
