"""The manual's remote manager, one role a process: ``server``, or ``ROLE PORT ARGUMENTS``."""

from __future__ import annotations

import queue
import sys
import threading

from procession_managers import BaseManager, DictProxy, ListProxy
from procession_process import Process

KEY = b"abracadabra"


class QueueManager(BaseManager):
    pass


class Maths:
    def add(self, x, y):
        return x + y

    def mul(self, x, y):
        return x * y


shared = queue.Queue()
kept: dict = {}


class Worker(Process):
    """A local process that uses the server's queue."""

    def __init__(self, port):
        super().__init__()
        self.port = port

    def run(self):
        register(here=False)  # what the parent has registered comes along with fork alone
        connect(self.port).get_queue().put("local hello")


def register(here):
    QueueManager.register("get_queue", callable=(lambda: shared) if here else None)
    QueueManager.register("Maths", Maths if here else None)
    QueueManager.register("get_kept", (lambda: kept) if here else None, DictProxy)
    QueueManager.register("list", list if here else None, ListProxy)


def connect(port):
    manager = QueueManager(address=("127.0.0.1", port), authkey=KEY)
    manager.connect()
    return manager


def serve():
    register(here=True)
    server = QueueManager(address=("127.0.0.1", 0), authkey=KEY).get_server()

    def use():
        worker = Worker(server.address[1])
        worker.start()
        worker.join()
        print(server.address[1], flush=True)

    threading.Thread(target=use).start()
    server.serve_forever()


def main(role, port, *arguments):
    register(here=False)
    manager = connect(int(port))
    if role == "put":
        manager.get_queue().put(arguments[0])
        print("put")
    elif role == "get":
        q = manager.get_queue()
        print(*[q.get(timeout=20) for _ in range(int(arguments[0]))], sep=", ")
    elif role == "nest":
        inner, outer = manager.list([1]), manager.list()
        outer.append(inner)
        manager.get_kept()["outer"] = outer
        inner.append(2)
        print(outer, outer[0], manager.Maths().add(4, 3), manager.Maths().mul(7, 8))
    elif role == "look":
        outer = manager.get_kept()["outer"]
        outer[0].append(3)
        print(outer[0], outer[0] is not outer[0], len(outer))
    elif role == "stop":
        manager._link_to(manager.address).request("shutdown")


if __name__ == "__main__":
    serve() if sys.argv[1] == "server" else main(*sys.argv[1:])
