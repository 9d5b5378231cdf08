"""What a site shows to a stranger: certificates, listeners, roles; each fault is found."""

import ipaddress
import socket
import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infra.lab.home import Home
from infra.lab.servers import endpoint_server, servers
from infra.platform.metrics import EXPORTER_PORT
from tasks.clients.certificates import Certificate, answers_in_clear, verified
from tasks.clients.listeners import listening
from tasks.clients.role_grants import Grants, Role
from tasks.errors import Permanent, Transient
from tasks.plan.load import load_plan
from tasks.policy.exposure import (
    ENDPOINT,
    PORTS,
    expected_ports,
    expiring,
    grant_findings,
    let_in,
    role_findings,
    scanned_ports,
    unexpected,
)

PLAN = load_plan(Path(__file__).parents[2] / "deployments" / "plan.yaml")
NOW = datetime(2026, 11, 25, tzinfo=UTC)
ADDRESS = "127.45.1.1"
_KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(folder, *, names=(ADDRESS,), days=(-2, 30), key=_KEY):
    """A certificate that is its own authority; its PEM, and a file of it with its key."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    start, end = (datetime.now(UTC) + timedelta(days=day) for day in days)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), start, end)
    subjects = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(each)) for each in names])
    pem = builder.add_extension(subjects, critical=False).sign(key, hashes.SHA256())
    shown = pem.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "server.pem"
    file.write_bytes(shown + private)
    return shown.decode(), file


@contextmanager
def answering(answer):
    """A server on a port of its own that hands each connection to `answer`."""
    with socket.create_server((ADDRESS, 0)) as server:

        def serve():
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    client.settimeout(5)
                    answer(client)

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)


@contextmanager
def tls_server(file):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)

    def answer(client):
        try:
            with context.wrap_socket(client, server_side=True) as secured:
                secured.recv(1)
        except OSError:
            return

    with answering(answer) as port:
        yield port


def test_a_good_certificate_is_trusted_until_its_end(tmp_path):
    authority, file = certificate(tmp_path)
    with tls_server(file) as port:
        shown = verified(ADDRESS, port, authority)
        assert not answers_in_clear(ADDRESS, port)
    assert timedelta(days=29) < shown.until - datetime.now(UTC) <= timedelta(days=30)


@pytest.mark.parametrize(
    ("planted", "why"),
    [
        ({"days": (-9, -1)}, "expired"),
        ({"days": (1, 9)}, "not yet valid"),
        ({"names": ("127.45.1.9",)}, "mismatch"),
    ],
)
def test_a_wrong_certificate_is_found(tmp_path, planted, why):
    authority, file = certificate(tmp_path, **planted)
    with tls_server(file) as port, pytest.raises(Permanent, match=why):
        verified(ADDRESS, port, authority)


def test_another_authoritys_certificate_is_found(tmp_path):
    (tmp_path / "other").mkdir()
    authority, _ = certificate(tmp_path / "other", key=ec.generate_private_key(ec.SECP256R1()))
    _, file = certificate(tmp_path)
    with tls_server(file) as port, pytest.raises(Permanent, match="not trusted"):
        verified(ADDRESS, port, authority)


@pytest.mark.parametrize(
    ("answer", "served"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.1 302 Found\r\n\r\n", True),
        (b"HTTP/1.0 400 Bad Request\r\n\r\n", False),
        (b"\x15\x03\x01\x00\x02\x02\x46", False),
        (b"", False),
    ],
)
def test_plaintext_that_is_served_is_found(tmp_path, answer, served):
    with answering(lambda client: (client.recv(1000), client.sendall(answer))) as port:
        assert answers_in_clear(ADDRESS, port) is served
        if answer.startswith(b"HTTP"):
            with pytest.raises(Permanent, match="does not speak TLS"):
                verified(ADDRESS, port, certificate(tmp_path)[0])


def test_a_server_that_is_away_is_not_known():
    with socket.create_server((ADDRESS, 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(Transient):
        answers_in_clear(ADDRESS, port)


@pytest.mark.parametrize(("days", "found"), [(14, 0), (15, 0), (13, 1), (-1, 1)])
def test_a_certificate_that_ends_too_soon_is_found(days, found):
    shown = Certificate("store", NOW + timedelta(days=days))
    assert len(expiring(shown, NOW, timedelta(days=14))) == found


def test_listeners_are_found_by_connecting_and_nothing_else_is():
    with socket.create_server((ADDRESS, 0)) as one, socket.create_server((ADDRESS, 0)) as other:
        ports = {server.getsockname()[1] for server in (one, other)}
        tried = [*range(1, 600), *ports]
        # What this machine listens with at every address is nobody's here.
        assert listening(ADDRESS, tried) - listening("127.45.1.2", tried) == ports


def test_a_listener_that_no_plan_names_is_found():
    assert unexpected({5432, 8008, 31337}, {5432, 8008, 22}) == ["port 31337"]
    assert unexpected({5432}, {5432, 8008}) == []


def test_every_server_of_the_lab_listens_where_the_plan_expects_it(tmp_path, monkeypatch):
    home = Home(tmp_path)
    monkeypatch.setattr(Home, "kind", "loopback")
    monkeypatch.setattr(type(PLAN), "secret", lambda *_: "secret")
    for site in PLAN.sites:
        expected = expected_ports(PLAN, site)
        wanted = {host: {s.port for s in servers(home, PLAN, site, *PORTS, "storage")
                         if s.port and s.key.split("/")[1] == host}
                  for host in PLAN.sites[site].hosts}  # fmt: skip
        assert any(wanted.values())
        assert all(ports <= expected[host] for host, ports in wanted.items())
        assert endpoint_server(home, PLAN).port in expected[ENDPOINT]
    assert EXPORTER_PORT in PORTS["control"]


def test_what_is_scanned_covers_the_range_and_every_port_that_programs_are_known_by():
    scanned = scanned_ports(PLAN)
    assert {1, 8533, 9999, 10000, 26379} <= set(scanned)
    assert 10001 not in scanned


def test_whoever_was_let_in_is_named():
    assert let_in({"no password": False, "a wrong password": True}) == ["a wrong password"]


def role(name, **more):
    fields = {"superuser": False, "creates": False, "login": True, "replicates": False, "bypasses": False}
    return Role(**{"name": name, "member_of": (), **fields, **more})


GOOD = {
    "postgres": role("postgres", superuser=True, creates=True, replicates=True, bypasses=True),
    "naas_service": role("naas_service"),
    "replicator": role("replicator", replicates=True),
}


def test_good_roles_are_good():
    assert role_findings(GOOD.values()) == []


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        (role("naas_service", superuser=True, member_of=("postgres",)), "naas_service is a superuser"),
        (role("naas_service", creates=True), "naas_service makes roles or databases"),
        (role("naas_service", replicates=True), "naas_service replicates"),
        (
            role("naas_service", member_of=("pg_read_all_data",)),
            "naas_service is a member of pg_read_all_data",
        ),
        (role("replicator", replicates=True, superuser=True), "replicator is a superuser"),
        (role("replicator", bypasses=True), "replicator bypasses row security"),
        (role("mallory", superuser=True), "mallory is a superuser"),
    ],
)
def test_a_wrong_role_is_found(planted, found):
    assert role_findings((GOOD | {planted.name: planted}).values()) == [found]


def test_a_missing_role_is_found():
    assert role_findings([GOOD["postgres"]]) == [
        "there is no role naas_service",
        "there is no role replicator",
    ]


def test_grants_beyond_the_plans_are_found():
    allowed = {"public.orders": ("select", "insert")}
    good = Grants({"public.orders": ("insert", "select")}, ())
    assert grant_findings("naas_service", good, allowed) == []
    wrong = Grants(
        {
            "public.orders": ("delete", "select"),
            "naas_dr.heartbeat": ("select",),
            "pg_catalog.pg_authid": ("select",),
        },
        ("create in schema public",),
    )
    assert grant_findings("naas_service", wrong, allowed) == [
        "naas_service may create in schema public",
        "naas_service may delete public.orders",
        "naas_service may select naas_dr.heartbeat",
        "naas_service may select pg_catalog.pg_authid",
    ]
    # A plan that says nothing of tables: only what no service may ever read.
    assert grant_findings("naas_service", wrong, None) == [
        "naas_service may create in schema public",
        "naas_service may select pg_catalog.pg_authid",
    ]
