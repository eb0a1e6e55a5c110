"""TLS and authentication are distributed's own: certificates of one authority on both sides."""

from __future__ import annotations

import datetime
import ipaddress
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from procession_cluster import ClusterContext

from .conftest import Cluster, distributed

x509 = pytest.importorskip("cryptography.x509", reason="cryptography makes the certificates of this test")


class Authority:
    """A certificate authority that signs one certificate, for the loopback interface."""

    def __init__(self, folder: Path, name: str) -> None:
        from cryptography.hazmat.primitives.asymmetric import ec

        self.folder = folder
        self.name = name
        key = ec.generate_private_key(ec.SECP256R1())
        authority = self._certificate(f"{name} authority", key.public_key(), None, key)
        own = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certificate(f"{name} member", own.public_key(), authority, key)
        self.ca = self._write("ca.pem", self._pem(authority))
        self.cert = self._write("cert.pem", self._pem(certificate))
        self.key = self._write("key.pem", self._key_pem(own))

    def _certificate(self, subject: str, public: Any, issuer: Any, signer: Any) -> Any:
        from cryptography.hazmat.primitives import hashes

        now = datetime.datetime.now(datetime.UTC)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)])
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name if issuer is None else issuer.subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
                critical=False,
            )
        )
        return made.sign(signer, hashes.SHA256())

    def _pem(self, certificate: Any) -> bytes:
        from cryptography.hazmat.primitives.serialization import Encoding

        return bytes(certificate.public_bytes(Encoding.PEM))

    def _key_pem(self, key: Any) -> bytes:
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    def _write(self, name: str, data: bytes) -> str:
        path = self.folder / f"{self.name}-{name}"
        path.write_bytes(data)
        return str(path)

    def options(self) -> tuple[str, ...]:
        return ("--tls-ca-file", self.ca, "--tls-cert", self.cert, "--tls-key", self.key)

    def security(self) -> Any:
        return distributed.Security(
            tls_ca_file=self.ca, tls_client_cert=self.cert, tls_client_key=self.key, require_encryption=True
        )


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ours"), "ours")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, ours: Authority) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("tls"), 1, ours.options(), ours.security())
    yield made
    made.close()


def double(x: int) -> int:
    return 2 * x


def put_into(queue: Any, x: int) -> None:
    queue.put(x)


def test_everything_goes_through_tls(cluster: Cluster, ours: Authority) -> None:
    assert cluster.address.startswith("tls://")
    with ClusterContext(cluster.address, security=ours.security()) as context, context.Pool() as pool:
        assert pool.map(double, range(5)) == [0, 2, 4, 6, 8]
        queue = context.Queue()
        pool.apply(put_into, (queue, 7))
        assert queue.get(timeout=30) == 7


def test_who_has_no_certificate_is_refused(cluster: Cluster) -> None:
    with pytest.raises(TypeError, match="TLS") as caught:
        ClusterContext(cluster.address, timeout=5).Pool()
    assert "security=distributed.Security" in "".join(caught.value.__notes__)
    with pytest.raises(OSError) as refused:
        ClusterContext(cluster.address.replace("tls:", "tcp:"), timeout=3).Pool()
    assert "security=distributed.Security" in "".join(refused.value.__notes__)


def test_who_has_a_certificate_of_another_authority_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    theirs = Authority(tmp_path, "theirs")
    with pytest.raises(OSError):
        ClusterContext(cluster.address, security=theirs.security(), timeout=5).Pool()


def test_a_connection_that_fails_leaves_nothing_behind(cluster: Cluster, tmp_path: Path) -> None:
    # What was left of the first was closed by the garbage collector within the start of another: for ever.
    def loops() -> int:
        return sum(thread.name == "IO loop" for thread in threading.enumerate())

    before = loops()
    theirs = Authority(tmp_path, "theirs")
    failures: list[tuple[type[Exception], str, Any]] = [
        (TypeError, cluster.address, None),
        (OSError, cluster.address.replace("tls:", "tcp:"), None),
        (OSError, cluster.address, theirs.security()),
    ]
    for error, address, security in failures:
        with pytest.raises(error) as caught:
            ClusterContext(address, security=security, timeout=1).Pool()
        assert loops() == before, caught.value


def test_the_embedded_cluster_makes_certificates_of_its_own() -> None:
    with ClusterContext(security=True, n_workers=1) as context, context.Pool() as pool:
        assert context.engine.client.scheduler.address.startswith("tls://")
        assert pool.map(double, range(3)) == [0, 2, 4]
