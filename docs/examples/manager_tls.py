"""A manager on TCP with TLS: both sides show certificates, and both know the key.

Here both ends are on this machine. On two machines the server's half runs on one and the client's on the other.
"""

import ssl
import subprocess
import tempfile
from pathlib import Path

import procession as mp
from procession.managers import BaseManager

KEY = b"a long random secret, read from a file in real programs"


class Store(BaseManager):
    pass


TABLE = {}


def get_table():
    return TABLE


def serve(folder, address_queue):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED  # clients must have a certificate, too
    context.load_verify_locations(folder / "client.pem")
    Store.register("table", callable=get_table)
    server = Store(address=("127.0.0.1", 0), authkey=KEY, ssl=context).get_server()
    address_queue.put(server.address)
    server.serve_forever()


def connect(folder, address):
    context = ssl.create_default_context(cafile=folder / "server.pem")
    context.load_cert_chain(folder / "client.pem", folder / "client.key")
    Store.register("table")
    manager = Store(address=address, authkey=KEY, client_ssl=context)
    manager.connect()
    return manager.table()


def make_certificate(folder, name):
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", f"/CN={name}", "-addext", names]
    command += ["-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"]
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_certificate(folder, "server")
        make_certificate(folder, "client")
        queue = mp.Queue()
        server = mp.Process(target=serve, args=(folder, queue), daemon=True)
        server.start()
        address = queue.get()
        connect(folder, address).update(a=1, b=2)
        print(sorted(connect(folder, address).copy().items()))
        server.terminate()
        server.join()
