"""A healthy site passes all four suites; each planted fault is found by its own check, and by no other."""

import json
import signal
import socket
import ssl
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import redis
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infra.lab.processes import running
from tasks.clients import fingerprints, journal, patroni, postgres, records
from tasks.clients.layout import Layout
from tasks.clients.listeners import listening
from tasks.clients.truth import active_site
from tasks.facts.validation import Subject, Validated
from tasks.plan.load import load_plan
from tasks.policy.exposure import scanned_ports
from tasks.policy.validation import SUITES
from tasks.validate import validate_smoke
from tasks.validate_integration import validate_integration
from tasks.validate_performance import record_pace, validate_performance
from tasks.validate_security import validate_security

pytestmark = [pytest.mark.lab, pytest.mark.fault]

NOBODY = "127.99.99.99"
TLS_SERVER = ("127.99.99.98", 8443)


@pytest.fixture(scope="module")
def lab(labs):
    lab = labs.shared("loopback")
    with known_to_listen(lab):
        yield lab


@contextmanager
def known_to_listen(lab):
    """What this machine listens with on every address at once is not the lab's, and would be found there."""
    before, plan = lab.home.plan_file.read_text(), lab.plan
    own = {*plan.validation.security.administration, *listening(NOBODY, scanned_ports(plan))}
    write(lab.home.plan_file, yaml.safe_load(before), "validation.security.administration", sorted(own))
    try:
        yield
    finally:
        lab.home.plan_file.write_text(before)


def write(file, document, path, value):
    *parents, last = path.split(".")
    place = document
    for part in parents:
        place = place[int(part)] if isinstance(place, list) else place[part]
    place[last] = value
    file.write_text(yaml.safe_dump(document, sort_keys=False))


@pytest.fixture
def changed(lab):
    """The lab's plan with one value changed, in the same folder."""
    file = lab.home.directory / "changed.yaml"

    def change(path, value, source=lab.home.plan_file):
        write(file, yaml.safe_load(source.read_text()), path, value)
        return load_plan(file)

    yield change
    file.unlink(missing_ok=True)


@pytest.fixture
def subject(lab):
    return Subject(site=active_site(lab.plan))


def outcomes(results):
    return {each.name: each.outcome for each in results}


def not_passed(results):
    return {each.name: each for each in results if each.outcome != "passed"}


def only(results, name, outcome="failed"):
    """The one check that did not pass."""
    found = not_passed(results)
    assert set(found) == {name}, found
    assert found[name].outcome == outcome, found
    return found[name].detail


@contextmanager
def leading(lab):
    with postgres.connected(lab.plan, patroni.leader(lab.plan, active_site(lab.plan)).host) as connection:
        yield connection


@contextmanager
def edited(lab, host, program, path, old, new):
    """A server's file with a text replaced, and told to read it again."""
    site = active_site(lab.plan)
    file, server = lab.home.root(site, host) / path, running(lab.home.directory)[f"{site}/{host}/{program}"]
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


def until_found(attempt, patience=10):
    """A server takes a moment to read its file again: look until something did not pass, or patience ends."""
    end = time.monotonic() + patience
    while not not_passed(found := attempt()) and time.monotonic() < end:
        time.sleep(0.3)
    return found


def test_without_a_baseline_the_pace_is_not_known_and_healthy_passes_all_four_suites(lab, subject):
    plan = lab.plan
    if records.read(plan, "validation/baseline.json") is None:
        detail = only(validate_performance.fn(plan, subject), "pace against the baseline", "unknown")
        assert "no baseline" in detail
    lab.dr("run", "record-baseline")
    lab.dr("run", "validate-recovery", "--param", f"site={subject.site}")
    found = Validated.model_validate_json(records.read_all(plan, f"validation/sites/{subject.site}")[-1])
    assert found.verdict == "passed"
    assert {each.suite for each in found.checks} == set(found.suites) == set(SUITES)
    assert {each.outcome for each in found.checks} == {"passed"}
    for each in found.checks:
        print(each.suite, each.name, f"{each.seconds:.2f} s", each.detail)  # noqa: T201 - evidence, with -s


def test_a_failed_suite_fails_the_run_and_is_on_record(lab, subject):
    standby = next(name for name, s in lab.plan.sites.items() if s.role == "dr")
    done = lab.attempt("run", "validate-recovery", "--param", f"site={standby}", "--param", 'suites=["smoke"]')
    assert done.returncode == 1
    assert f"users are served by {subject.site}" in done.stderr
    found = Validated.model_validate_json(records.read_all(lab.plan, f"validation/sites/{standby}")[-1])
    assert (found.verdict, found.suites) == ("failed", ("smoke",))


def test_smoke_finds_the_wrong_site(lab):
    standby = next(name for name, s in lab.plan.sites.items() if s.role == "dr")
    found = not_passed(validate_smoke.fn(lab.plan, Subject(site=standby)))
    assert {name: each.outcome for name, each in found.items()} == dict.fromkeys(
        ("an order through the public endpoint", "the roles of the servers"), "failed"
    )


def test_integration_finds_a_broken_invariant(lab, subject):
    with leading(lab) as connection:
        connection.execute(
            "insert into orders (id, item, quantity, created_at) "
            "values (gen_random_uuid(), 'planted', 1, now() + interval '1 day')"
        )
        try:
            detail = only(validate_integration.fn(lab.plan, subject), "no-order-comes-from-the-future")
        finally:
            connection.execute("delete from orders where item = 'planted'")
    assert "returns 1 rows" in detail


def test_integration_finds_a_standby_that_does_not_replay(lab, subject, changed):
    steps = [step.name for step in lab.plan.validation.workflow]
    at = steps.index("find-it-on-every-standby")
    plan = changed(f"validation.workflow.{at}.sql.within", "3 seconds")
    leader = patroni.leader(plan, subject.site)
    standby = next(m for m in patroni.members(plan, subject.site) if m.name != leader.name)
    with postgres.connected(plan, standby.host) as connection:
        connection.execute("select pg_wal_replay_pause()")
        try:
            detail = only(validate_integration.fn(plan, subject), "workflow: find-it-on-every-standby")
        finally:
            connection.execute("select pg_wal_replay_resume()")
    assert standby.host in detail


def test_integration_finds_a_service_that_does_not_refuse(lab, subject, changed):
    at = [step.name for step in lab.plan.validation.workflow].index("refuse-a-wrong-order")
    # A service that takes what it should refuse: here, an order that is no wrong one.
    plan = changed(f"validation.workflow.{at}.http.body.quantity", 1)
    detail = not_passed(validate_integration.fn(plan, subject))["workflow: refuse-a-wrong-order"].detail
    assert "did not answer 422" in detail


def test_a_check_that_would_write_is_refused_by_the_database(lab, subject, changed):
    for query in ("delete from orders returning id", "select 1; delete from orders"):
        plan = changed("validation.checks.orders-are-whole.sql.query", query)
        assert "orders-are-whole" in not_passed(validate_integration.fn(plan, subject)), query
    with leading(lab) as connection:
        assert connection.execute("select count(*) as n from orders").fetchone()["n"] > 0


def test_a_command_that_fails_on_a_host_is_found(lab, subject, changed):
    check = "every-instance-has-the-uploads"
    plan = changed(f"validation.checks.{check}.command.argv", ["test", "-r", "{root}/srv/naas/gone"])
    assert "app-east-1" in only(validate_integration.fn(plan, subject), check)


def test_performance_finds_a_slow_service(lab, subject, changed):
    record_pace.fn(lab.plan)
    assert not_passed(validate_performance.fn(lab.plan, subject)) == {}
    with delaying(lab.plan.service.endpoint, 0.1) as port:
        document = yaml.safe_load(lab.home.plan_file.read_text())
        endpoint = document["service"]["endpoint"] | {"address": NOBODY, "port": port}
        plan = changed("service.endpoint", endpoint)
        detail = only(validate_performance.fn(plan, subject), "pace against the baseline")
    assert "slower" in detail
    assert "over 3 times" in detail


def test_another_probe_is_not_compared(lab, subject, changed):
    record_pace.fn(lab.plan)
    plan = changed("validation.performance.path", "/health")
    only(validate_performance.fn(plan, subject), "pace against the baseline", "unknown")


@pytest.mark.parametrize(
    ("plant", "remove", "check", "found"),
    [
        (
            "grant usage on schema naas_dr to naas_service; grant select on naas_dr.heartbeat to naas_service",
            "revoke usage on schema naas_dr from naas_service; "
            "revoke select on naas_dr.heartbeat from naas_service",
            "grants of naas_service",
            "naas_service may select naas_dr.heartbeat",
        ),
        (
            "grant delete on orders to naas_service",
            "revoke delete on orders from naas_service",
            "grants of naas_service",
            "naas_service may delete public.orders",
        ),
        (
            "grant select (rolname) on pg_authid to naas_service",
            "revoke select (rolname) on pg_authid from naas_service",
            "grants of naas_service",
            "pg_catalog.pg_authid",
        ),
        (
            "grant select on orders to replicator",
            "revoke select on orders from replicator",
            "grants of replicator",
            "replicator may select public.orders",
        ),
        (
            "alter role naas_service createdb",
            "alter role naas_service nocreatedb",
            "roles of the database",
            "makes roles or databases",
        ),
        (
            "create role mallory superuser login",
            "drop role mallory",
            "roles of the database",
            "mallory is a superuser",
        ),
    ],
)
def test_security_finds_wrong_roles(lab, subject, plant, remove, check, found):  # noqa: PLR0913 -- a table
    with leading(lab) as connection:
        connection.execute(plant)
        try:
            detail = only(validate_security.fn(lab.plan, subject), check)
        finally:
            connection.execute(remove)
    assert found in detail


def test_security_finds_an_extra_listener(lab, subject):
    host = lab.plan.sites[subject.site].hosts["app-east-1"]
    with socket.create_server((str(host.address), 7777)):
        assert "port 7777" in only(validate_security.fn(lab.plan, subject), "open ports of app-east-1")


def test_security_finds_an_expired_certificate(lab, subject, changed):
    with expired_store(lab) as authorities:
        first = changed("secrets.ca_certificate", f"file:{authorities}")
        assert not_passed(validate_security.fn(first, subject)) == {}
        address, port = TLS_SERVER
        plan = changed("sites.eu-west-1.storage.endpoint", f"https://{address}:{port}", first.folder / "changed.yaml")
        found = not_passed(validate_security.fn(plan, subject))
    assert "expired" in found["certificate of the store of eu-west-1"].detail
    assert found["certificate of the store of eu-west-1"].outcome == "failed"


def test_security_finds_a_certificate_that_ends_too_soon(lab, subject, changed):
    plan = changed("validation.security.certificates_valid_for", "2 years")
    found = not_passed(validate_security.fn(plan, subject))
    assert outcomes(found.values()) == {
        f"certificate of the store of {site}": "failed" for site in plan.sites
    }


def test_the_failed_sites_store_is_not_asked(lab):
    names = outcomes(validate_security.fn(lab.plan, Subject(site="us-east-1", failed_site="us-west-2")))
    assert "certificate of the store of eu-west-1" in names
    assert not any("us-west-2" in name for name in names)


def test_security_finds_keys_that_open_more_than_one_store(lab, subject, changed):
    plan = changed("sites.us-east-1.storage.reader", "file:secrets/us-east-1/owner.json")
    found = only(validate_security.fn(plan, subject), "keys at the store of us-east-1")
    assert "its reader, writing" in found
    plan = changed("sites.us-west-2.storage.reader", "file:secrets/eu-west-1/reader.json")
    found = not_passed(validate_security.fn(plan, subject))["keys at the store of eu-west-1"]
    assert (found.outcome, found.detail) == ("failed", "let in: the reader key of us-west-2")


def test_security_finds_redis_without_a_password(lab, subject):
    address = lab.plan.sites[subject.site].addresses("redis")[0]
    password = lab.plan.secret("redis")
    with redis.Redis(host=address, password=password) as server:
        server.execute_command("ACL", "SETUSER", "default", "nopass")
        try:
            detail = only(validate_security.fn(lab.plan, subject), "credentials of Redis on redis-east-1")
        finally:
            server.execute_command("ACL", "SETUSER", "default", "resetpass", f">{password}")
    assert "no password" in detail


def test_security_finds_a_database_that_trusts(lab, subject):
    leader = patroni.leader(lab.plan, subject.site)
    hba = Layout.of(lab.plan, subject.site, leader.name).data_dir / "pg_hba.conf"
    before = hba.read_text()
    with leading(lab) as connection:
        hba.write_text(f"host all naas_service 127.0.0.0/8 trust\n{before}")
        connection.execute("select pg_reload_conf()")
        try:
            found = until_found(lambda: validate_security.fn(lab.plan, subject))
        finally:
            hba.write_text(before)
            connection.execute("select pg_reload_conf()")
    assert "naas_service without a password" in only(found, f"credentials of PostgreSQL on {leader.name}")


def test_security_finds_a_pgbouncer_that_trusts(lab, subject):
    name = "gateway-east"
    trusts = ("auth_type = scram-sha-256", "auth_type = any")
    with edited(lab, name, "pgbouncer", "etc/pgbouncer/pgbouncer.ini", *trusts):
        found = until_found(lambda: validate_security.fn(lab.plan, subject))
    assert "naas_service without a password" in only(found, f"credentials of PgBouncer on {name}")


def test_security_finds_a_patroni_that_takes_anybodys_write(lab, subject):
    name = "postgres-replica-2"
    secret = json.dumps(lab.plan.secret("patroni_api"))
    line = f"restapi:\n  authentication: {{username: patroni, password: {secret}}}\n"
    with edited(lab, name, "patroni", "etc/patroni/20-secrets.yml", line, ""):
        found = until_found(lambda: validate_security.fn(lab.plan, subject))
    assert "no password" in only(found, f"credentials of Patroni on {name}")
    assert not_passed(validate_security.fn(lab.plan, subject)) == {}


def test_security_finds_a_secret_that_was_not_rotated(lab, subject, changed):
    taken = fingerprints.take(lab.plan, "inc-planted", ["prefect_encryption"])
    case = subject.model_copy(update={"incident": "inc-planted", "fingerprints": taken})
    plan = changed("validation.security.rotated_after_incident", ["prefect_encryption", "redis"])
    found = not_passed(validate_security.fn(plan, case))
    assert outcomes(found.values()) == {
        "rotation of prefect_encryption": "failed",
        "rotation of redis": "unknown",  # of it no fingerprint was taken
    }
    rotated = changed("secrets.prefect_encryption", "file:secrets/redis", lab.home.directory / "changed.yaml")
    assert set(not_passed(validate_security.fn(rotated, case))) == {"rotation of redis"}


@pytest.mark.timeout(600)
def test_a_recovery_passes_all_four_suites_and_the_record_is_in_its_journal(labs):
    lab = labs.fresh("loopback")
    with known_to_listen(lab):
        old, new = lab.plan.site_of("primary"), lab.plan.site_of("dr")
        lab.dr("run", "record-baseline")
        lab.dr("lab", "break", old)
        lab.dr("run", "fail-over", "--param", "reason=power loss", site=new)
        [incident] = journal.incidents(lab.plan)
        steps = [json.loads(text)["name"] for text in journal.read_all(lab.plan, incident, "steps/")]
        assert {"validate through the public endpoint", "validate the site's servers"} <= set(steps)
        lab.dr("run", "validate-recovery", site=new)
        [text] = journal.read_all(lab.plan, incident, "validation/")
        found = Validated.model_validate_json(text)
        assert (found.verdict, found.subject.site, found.subject.incident) == ("passed", new, incident)
        assert {each.suite for each in found.checks} == set(SUITES)


@contextmanager
def delaying(endpoint, seconds):
    """A proxy to the public endpoint, through which every answer takes longer."""

    def pump(source, target, wait):
        try:
            while data := source.recv(65536):
                time.sleep(wait)
                target.sendall(data)
        except OSError:
            pass
        finally:
            for side in (source, target):
                side.close()

    with socket.create_server((NOBODY, 0)) as server:

        def serve():
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                behind = socket.create_connection((str(endpoint.address), endpoint.port))
                for pair in ((client, behind, 0.0), (behind, client, seconds)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

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
        name, name, key.public_key(), x509.random_serial_number(), now - timedelta(days=9), now - timedelta(days=1)
    )
    names = x509.SubjectAlternativeName([x509.DNSName(TLS_SERVER[0])])
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
