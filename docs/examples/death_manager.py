"""The server process of a manager is killed."""

import os
import signal

import procession as mp

if __name__ == "__main__":
    manager = mp.Manager()
    table = manager.dict(a=1)
    print(table["a"])
    os.kill(manager._process.pid, signal.SIGKILL)
    manager._process.join()
    try:
        table["a"]
    except mp.ServerDiedError as error:
        print(type(error).__name__, isinstance(error, EOFError), isinstance(error, ConnectionError))
