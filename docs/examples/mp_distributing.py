"""Work distributed over hosts. Usage: mp_distributing.py [hosts | dask [ADDRESS]]

``hosts``: each host runs this program as a manager's server, with a pool of its own. Here the hosts are processes on
the loopback interface; for other machines, begin the command with ``["ssh", name]``, let the server listen on an
address that they can reach, and use TLS. ``dask``: the same work on a Dask cluster.
"""

import itertools
import json
import os
import queue
import subprocess
import sys

import procession as mp
from procession.managers import BaseManager
from procession.pool import ThreadPool

# ---- what runs on each host ----


class Host:
    """Runs functions in processes of its machine. Lives in the server; clients have proxies."""

    def __init__(self, name, slots):
        self._name = name
        self._numbers = itertools.count(slots + 1)
        self._processes = {}
        self._pool = mp.Pool(slots, initializer=rename, initargs=(name,))

    def call(self, function, args):
        return self._pool.apply(function, args)

    def start(self, function, args):
        number = next(self._numbers)
        process = mp.Process(target=function, args=args, name=f"{self._name}/Process-{number}")
        process.start()
        self._processes[number] = process
        return number

    def join(self, number):
        process = self._processes[number]
        process.join()
        return process.exitcode


def rename(host):
    process = mp.current_process()
    process.name = f"{host}/Process-{process.name.rpartition('-')[2]}"


class HostManager(BaseManager):
    pass


def serve():
    """Serve one host. The settings come through stdin: nobody else can read the key there."""
    settings = json.loads(sys.stdin.readline())
    host = Host(settings["name"], settings["slots"])
    HostManager.register("host", callable=lambda: host)
    server = HostManager(("127.0.0.1", 0), authkey=bytes.fromhex(settings["key"])).get_server()
    print(json.dumps(server.address), flush=True)
    server.serve_forever()


# ---- the cluster ----


class Cluster:
    """Hosts with slots, used as one machine. ``hosts`` maps names to numbers of slots."""

    def __init__(self, hosts):
        key = os.urandom(32)
        self._hosts = []
        self._servers = []
        for name, slots in hosts.items():
            command = [sys.executable, os.path.abspath(__file__), "serve"]
            server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            self._servers.append(server)
            settings = {"name": name, "slots": slots, "key": key.hex()}
            server.stdin.write(json.dumps(settings) + "\n")
            server.stdin.flush()
            HostManager.register("host")
            manager = HostManager(tuple(json.loads(server.stdout.readline())), authkey=key)
            manager.connect()
            self._hosts += [manager.host()] * slots
        self._turn = itertools.cycle(self._hosts)

    def __len__(self):
        return len(self._hosts)

    def Pool(self):
        return ClusterPool(self._hosts)

    def Process(self, target, args=()):
        return ClusterProcess(next(self._turn), target, args)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in self._servers:
            server.terminate()
            server.communicate()


class ClusterProcess:
    """A process on one of the hosts."""

    def __init__(self, host, target, args):
        self._host, self._target, self._args = host, target, args
        self.exitcode = None

    def start(self):
        self._number = self._host.start(self._target, self._args)

    def join(self):
        self.exitcode = self._host.join(self._number)


class ClusterPool:
    """A pool over all slots: one thread here for each, which waits for its host."""

    def __init__(self, hosts):
        self._free = queue.Queue()
        for host in hosts:
            self._free.put(host)
        self._threads = ThreadPool(len(hosts))

    def map(self, function, items):
        return self._threads.map(lambda item: self._call(function, item), list(items), chunksize=1)

    def _call(self, function, item):
        host = self._free.get()
        try:
            return host.call(function, (item,))
        finally:
            self._free.put(host)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._threads.terminate()


# ---- the work ----


def square(number):
    return number * number


def where(number):
    import time

    time.sleep(0.02)  # long enough for every slot to get its share
    return mp.current_process().name


def hello(number):
    print(f"{mp.current_process().name} says hello {number}", file=sys.stderr, flush=True)


def on_hosts():
    with Cluster({"localhost": 2, "otherhost": 2}) as cluster:
        print("slots:", len(cluster))
        processes = [cluster.Process(target=hello, args=(number,)) for number in range(4)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        print("exit codes:", [process.exitcode for process in processes])
        with cluster.Pool() as pool:
            print("squares:", pool.map(square, range(10)))
            print("processes:", *sorted(set(pool.map(where, range(40)))))


def on_cluster(address=None):
    with mp.get_context("dask", address=address) as context, context.Pool() as pool:
        print("squares:", pool.map(square, range(10)))


if __name__ == "__main__":
    kind = sys.argv[1] if len(sys.argv) > 1 else "hosts"
    if kind == "serve":
        serve()
    elif kind == "hosts":
        on_hosts()
    elif kind == "dask":
        on_cluster(*sys.argv[2:3])
    else:
        raise SystemExit(__doc__)
