"""A listener in a child, clients in others, pipes that are waited for together, a connection sent over one."""

from __future__ import annotations

import multiprocessing as mp
import sys
from multiprocessing.connection import Client, Listener, wait


def serve(address_to):
    with Listener(("127.0.0.1", 0), authkey=b"secret") as listener:
        address_to.send(listener.address)
        for _ in range(3):
            with listener.accept() as connection:
                name = connection.recv()
                connection.send({"hello": name})
                connection.send_bytes(b"bytes for " + name.encode())


def call(address, name, end):
    with Client(address, authkey=b"secret") as connection:
        connection.send(name)
        end.send((connection.recv(), connection.recv_bytes()))
    end.close()


def echo(end):
    for value in iter(end.recv, None):
        end.send(value * 2)
    end.close()
    try:
        end.send(1)
    except OSError as error:
        print(str(error).partition(":")[0], flush=True)


def send_back(end):
    other = end.recv()
    other.send("through a connection that was sent")
    other.close()


if __name__ == "__main__":
    mp.set_start_method(sys.argv[1])
    mine, its = mp.Pipe()
    server = mp.Process(target=serve, args=(its,))
    server.start()
    its.close()
    address = mine.recv()
    readers, clients = [], []
    for name in ("ann", "bob", "eve"):
        reader, writer = mp.Pipe(duplex=False)
        client = mp.Process(target=call, args=(address, name, writer))
        client.start()
        writer.close()
        readers.append(reader)
        clients.append(client)
    answers = []
    while readers:
        for reader in wait(readers):
            try:
                answers.append(reader.recv())
            except EOFError:
                readers.remove(reader)
    print(sorted(answers, key=str))
    for process in (*clients, server):
        process.join()
    mine, its = mp.Pipe()
    process = mp.Process(target=echo, args=(its,))
    process.start()
    its.close()
    for value in (1, "a", [2.5], None or (3,)):
        mine.send(value)
        print(mine.recv(), mine.poll())
    mine.send(None)
    process.join()
    try:
        print(mine.recv())
    except EOFError:
        print("end")
    mine, its = mp.Pipe()
    one, other = mp.Pipe()
    process = mp.Process(target=send_back, args=(its,))
    process.start()
    mine.send(other)
    print(one.recv())
    process.join()
    print(process.exitcode, server.exitcode, sorted(map(type, (mine, its)), key=str)[0].__name__)
