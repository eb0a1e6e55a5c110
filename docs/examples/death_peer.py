"""The process at the other end of a pipe is killed."""

import os
import signal

import procession as mp


def die(connection):
    connection.send("last words")
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    here, there = mp.Pipe()
    child = mp.Process(target=die, args=(there,))
    child.start()
    there.close()  # otherwise this process itself keeps the other end open
    print(here.recv())
    try:
        here.recv()
    except (EOFError, ConnectionResetError):
        print("the other end is gone")
    child.join()
