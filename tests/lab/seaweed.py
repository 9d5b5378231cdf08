"""Real object stores for a test: SeaweedFS with TLS of its own CA, on ports no lab uses."""

import ipaddress
import ssl
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infra.lab.home import program
from infra.lab.storage import storage_argv, storage_identities, storage_sockets


@dataclass(frozen=True)
class Pair:
    access_key: str
    secret_key: str


@dataclass(frozen=True)
class Store:
    """One running store."""

    endpoint: str
    bucket: str
    owner: Pair
    reader: Pair
    ca_certificate: Path
    process: subprocess.Popen[bytes]


class Authority:
    """A certificate authority of one test session."""

    def __init__(self, directory: Path):
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")])
        authority = x509.BasicConstraints(ca=True, path_length=0)
        self.path = directory / "ca.crt"
        self.path.write_bytes(self._signed(self._name, self._key.public_key(), authority))

    def issue(self, address: str, directory: Path) -> None:
        """Write server.crt and server.key for an address."""
        key = ec.generate_private_key(ec.SECP256R1())
        # pgBackRest 2.45 ignores IP names, boto3 needs them.
        names = [x509.IPAddress(ipaddress.ip_address(address)), x509.DNSName(address)]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
        certificate = self._signed(subject, key.public_key(), x509.SubjectAlternativeName(names))
        (directory / "server.crt").write_bytes(certificate)
        pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        (directory / "server.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, plain))

    def _signed(self, subject, public_key, extension) -> bytes:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(self._name, subject, public_key, x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=2))
        signed = builder.add_extension(extension, critical=False).sign(self._key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)


@contextmanager
def running(  # noqa: PLR0913 -- a store of an authority at an address, and its buckets
    directory: Path,
    authority: Authority,
    address: str,
    port: int,
    bucket: str,
    status_bucket: str | None = None,
):
    """A store that serves, and leaves no process and no socket behind; again one with what it held before."""
    (directory / "data").mkdir(parents=True, exist_ok=True)
    endpoint = f"https://{address}:{port}"
    owner, reader = Pair(f"OWNER{port}", "owner-secret"), Pair(f"READER{port}", "reader-secret")
    (directory / "identities.json").write_text(storage_identities(bucket, owner, reader, status_bucket))
    authority.issue(address, directory)
    with (directory / "weed.log").open("wb") as log:
        process = subprocess.Popen(storage_argv(endpoint, directory, program("weed")), stdout=log, stderr=log)
    try:
        _wait_until_it_serves(endpoint, authority.path, process, timeout=60)
        yield Store(endpoint, bucket, owner, reader, authority.path, process)
    finally:
        process.kill()
        process.wait(10)
        for socket in storage_sockets(endpoint):
            socket.unlink(missing_ok=True)


def _wait_until_it_serves(endpoint, ca_certificate, process, timeout):
    deadline = time.monotonic() + timeout
    trust = ssl.create_default_context(cafile=ca_certificate)
    with httpx.Client(verify=trust, timeout=2) as client:
        while time.monotonic() < deadline:
            assert process.poll() is None, "weed exited: see weed.log"
            try:
                if client.get(f"{endpoint}/healthz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
    pytest.fail(f"no store at {endpoint} after {timeout} s")
