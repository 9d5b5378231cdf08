"""Faults for validation to find: a slow way to the service, an old certificate, a changed file."""

import signal
import socket
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import psutil
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infra.lab.processes import running
from tasks.clients import patroni, postgres
from tasks.clients.layout import Layout
from tasks.clients.listeners import listening
from tasks.clients.truth import active_site
from tasks.facts.validation import Subject
from tasks.plan.load import load_plan
from tasks.plan.plan import Plan
from tasks.policy.exposure import scanned_ports

NOBODY = "127.99.99.99"
TLS_SERVER = ("127.99.99.98", 8443)


@dataclass(frozen=True)
class Grounds:
    """A healthy lab to plant faults in.

    Attributes:
        lab: the lab.
        plan: its plan, with a short range of ports to scan.
        subject: its active site.
    """

    lab: Any
    plan: Plan
    subject: Subject

    @property
    def standby(self):
        return self.plan.site_of("dr" if self.subject.site != self.plan.site_of("dr") else "primary")

    def changed(self, path, value, plan="quick"):
        """The plan with one value changed, in the same folder."""
        file = self.lab.home.directory / f"{plan}.yaml"
        return _write(self.lab.home.directory / "changed.yaml", yaml.safe_load(file.read_text()), path, value)

    @contextmanager
    def leading(self):
        """A superuser's connection to the leader."""
        leader = patroni.leader(self.plan, self.subject.site)
        with postgres.connected(self.plan, leader.host) as connection:
            yield connection

    @contextmanager
    def edited(self, host, program, path, old, new):
        """A server's file with a text replaced, and the server told to read it again."""
        home, key = self.lab.home, f"{self.subject.site}/{host}/{program}"
        file, server = home.root(self.subject.site, host) / path, running(home.directory)[key]
        before = file.read_text()
        assert old in before
        file.write_text(before.replace(old, new))
        server.send_signal(signal.SIGHUP)
        try:
            yield
        finally:
            file.write_text(before)
            server.send_signal(signal.SIGHUP)
            time.sleep(1)


@contextmanager
def validating(lab):
    """The lab with its plan made for this machine: what listens at every address at once is not the lab's."""
    home, plan = lab.home, lab.plan
    before, files = home.plan_file.read_text(), [home.directory / f"{n}.yaml" for n in ("quick", "changed")]
    known = {*plan.validation.security.administration, *listening(NOBODY, scanned_ports(plan))}
    _write(home.plan_file, yaml.safe_load(before), "validation.security.administration", sorted(known))
    quick = {"first": 7000, "last": 8000}
    short = _write(files[0], yaml.safe_load(home.plan_file.read_text()), "validation.security.scan", quick)
    try:
        yield Grounds(lab, short, Subject(site=active_site(plan)))
    finally:
        home.plan_file.write_text(before)
        for file in files:
            file.unlink(missing_ok=True)


def _write(file, document, path, value):
    *parents, last = path.split(".")
    place = document
    for part in parents:
        place = place[int(part)] if isinstance(place, list) else place[part]
    place[last] = value
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    return load_plan(file)


def outcomes(results):
    return {each.name: each.outcome for each in results}


def not_passed(results):
    return {each.name: each for each in results if each.outcome != "passed"}


def only(results, name, outcome="failed"):
    """What was seen by the one check that did not pass."""
    found = not_passed(results)
    assert set(found) == {name}, found
    assert found[name].outcome == outcome, found
    return found[name].detail


def until_found(attempt, patience=10):
    """A server takes a moment to read its file again: look until something did not pass, or patience ends."""
    return _until(lambda: not_passed(attempt()), attempt, patience)


def until_passed(attempt, patience=10):
    """The same for a file that is whole again: look until everything passes, or patience ends."""
    return _until(lambda: not not_passed(attempt()), attempt, patience)


def _until(seen, attempt, patience):
    end = time.monotonic() + patience
    while not seen() and time.monotonic() < end:
        time.sleep(0.3)
    return attempt()  # the one before may have begun when the file was the old one


def _pump(source, target, wait):
    with suppress(OSError), source, target:
        while data := source.recv(65536):
            time.sleep(wait)
            target.sendall(data)


@contextmanager
def not_replaying(plan, site, standby):
    """A standby that receives WAL and applies none of it; a mere pause Patroni ends by itself."""
    with _suspended(plan, site, standby, "startup recovering"):
        yield


@contextmanager
def not_receiving(plan, site, standby):
    """A standby whose connection to its upstream is silent."""
    with _suspended(plan, site, standby, "walreceiver"):
        yield


@contextmanager
def _suspended(plan, site, standby, title):
    folder = Layout.of(plan, site, standby).data_dir
    [process] = [each for each in psutil.process_iter() if _is(each, folder, title)]
    process.suspend()
    try:
        yield
    finally:
        process.resume()


def _is(process, folder, title):
    with suppress(psutil.Error):
        return process.cwd() == str(folder) and title in " ".join(process.cmdline())
    return False


@contextmanager
def delaying(endpoint, seconds):
    """A proxy to the public endpoint, through which every answer takes longer."""

    with socket.create_server((NOBODY, 0)) as server:

        def serve():
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                behind = socket.create_connection((str(endpoint.address), endpoint.port))
                for pair in ((client, behind, 0.0), (behind, client, seconds)):
                    threading.Thread(target=_pump, args=pair, daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@contextmanager
def expired_store(lab):
    """A TLS server whose certificate ended yesterday; yields a file of the authorities that both are of."""
    folder = lab.home.directory / "expired"
    folder.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, TLS_SERVER[0])])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        name,
        name,
        key.public_key(),
        x509.random_serial_number(),
        now - timedelta(days=9),
        now - timedelta(days=1),
    )
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(TLS_SERVER[0]))])
    pem = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    shown = pem.public_bytes(serialization.Encoding.PEM)
    plain = serialization.NoEncryption()
    (folder / "server.pem").write_bytes(
        shown + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    (folder / "authorities.crt").write_bytes(lab.plan.secret("ca_certificate").encode() + b"\n" + shown)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    with socket.create_server(TLS_SERVER) as server:

        def serve():
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                try:
                    context.wrap_socket(client, server_side=True).close()
                except OSError:
                    client.close()

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield folder / "authorities.crt"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
