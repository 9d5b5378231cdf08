"""The security suite against real servers: each planted fault is found by its own check, and by no other."""

import json
import socket

import pytest
import redis
from validation_planting import (
    TLS_SERVER,
    expired_store,
    not_passed,
    only,
    outcomes,
    until_found,
    until_passed,
    validating,
)

from tasks.clients import fingerprints, patroni
from tasks.clients.layout import Layout
from tasks.facts.validation import Subject
from tasks.validate_security import validate_security

pytestmark = [pytest.mark.lab, pytest.mark.fault, pytest.mark.long]


@pytest.fixture(scope="module")
def grounds(shared_lab):
    with validating(shared_lab()) as grounds:
        yield grounds


@pytest.mark.parametrize(
    ("plant", "remove", "check", "found"),
    [
        (
            "grant select on naas_dr.heartbeat to naas_service",
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
def test_security_finds_wrong_roles(grounds, plant, remove, check, found):
    with grounds.leading() as connection:
        connection.execute(plant)
        try:
            detail = only(validate_security.fn(grounds.plan, grounds.subject), check)
        finally:
            connection.execute(remove)
    assert found in detail


def test_security_finds_an_extra_listener(grounds):
    host = grounds.plan.sites[grounds.subject.site].hosts["app-east-1"]
    with socket.create_server((str(host.address), 7777)):
        assert "port 7777" in only(
            validate_security.fn(grounds.plan, grounds.subject), "open ports of app-east-1"
        )


def test_security_finds_an_expired_certificate(grounds):
    with expired_store(grounds.lab) as authorities:
        first = grounds.changed("secrets.ca_certificate", f"file:{authorities}")
        assert not_passed(validate_security.fn(first, grounds.subject)) == {}
        address, port = TLS_SERVER
        plan = grounds.changed("sites.eu-west-1.storage.endpoint", f"https://{address}:{port}", "changed")
        found = not_passed(validate_security.fn(plan, grounds.subject))
    assert "expired" in found["certificate of the store of eu-west-1"].detail
    assert found["certificate of the store of eu-west-1"].outcome == "failed"


def test_security_finds_a_certificate_that_ends_too_soon(grounds):
    plan = grounds.changed("validation.security.certificates_valid_for", "2 years")
    found = not_passed(validate_security.fn(plan, grounds.subject))
    assert outcomes(found.values()) == {
        f"certificate of the store of {site}": "failed" for site in plan.sites
    }


def test_the_failed_sites_store_is_not_asked(grounds):
    names = outcomes(validate_security.fn(grounds.plan, Subject(site="us-east-1", failed_site="us-west-2")))
    assert "certificate of the store of eu-west-1" in names
    assert not any("us-west-2" in name for name in names)


def test_security_finds_keys_that_open_more_than_one_store(grounds):
    plan = grounds.changed("sites.us-east-1.storage.reader", "file:secrets/us-east-1/owner.json")
    found = only(validate_security.fn(plan, grounds.subject), "keys at the store of us-east-1")
    assert "its reader, writing" in found
    plan = grounds.changed("sites.us-west-2.storage.reader", "file:secrets/eu-west-1/reader.json")
    found = not_passed(validate_security.fn(plan, grounds.subject))["keys at the store of eu-west-1"]
    assert (found.outcome, found.detail) == ("failed", "let in: the reader key of us-west-2")


def test_security_finds_redis_without_a_password(grounds):
    address = grounds.plan.sites[grounds.subject.site].addresses("redis")[0]
    password = grounds.plan.secret("redis")
    with redis.Redis(host=address, password=password) as server:
        server.execute_command("ACL", "SETUSER", "default", "nopass")
        try:
            detail = only(
                validate_security.fn(grounds.plan, grounds.subject), "credentials of Redis on redis-east-1"
            )
        finally:
            server.execute_command("ACL", "SETUSER", "default", "resetpass", f">{password}")
    assert "no password" in detail


def test_security_finds_a_database_that_trusts(grounds):
    leader = patroni.leader(grounds.plan, grounds.subject.site)
    hba = Layout.of(grounds.plan, grounds.subject.site, leader.name).data_dir / "pg_hba.conf"
    before = hba.read_text()
    with grounds.leading() as connection:
        hba.write_text(f"host all naas_service 127.0.0.0/8 trust\n{before}")
        connection.execute("select pg_reload_conf()")
        try:
            found = until_found(lambda: validate_security.fn(grounds.plan, grounds.subject))
        finally:
            hba.write_text(before)
            connection.execute("select pg_reload_conf()")
    assert "naas_service without a password" in only(found, f"credentials of PostgreSQL on {leader.name}")


def test_security_finds_a_pgbouncer_that_trusts(grounds):
    name = "gateway-east"
    trusts = ("auth_type = scram-sha-256", "auth_type = trust")
    with grounds.edited(name, "pgbouncer", "etc/pgbouncer/pgbouncer.ini", *trusts):
        found = until_found(lambda: validate_security.fn(grounds.plan, grounds.subject))
    assert "naas_service without a password" in only(found, f"credentials of PgBouncer on {name}")


def test_security_finds_a_patroni_that_takes_anybodys_write(grounds):
    name = "postgres-replica-2"
    secret = json.dumps(grounds.plan.secret("patroni_api"))
    line = f"restapi:\n  authentication: {{username: patroni, password: {secret}}}\n"
    with grounds.edited(name, "patroni", "etc/patroni/20-secrets.yml", line, ""):
        found = until_found(lambda: validate_security.fn(grounds.plan, grounds.subject))
    assert "no password" in only(found, f"credentials of Patroni on {name}")
    assert not_passed(until_passed(lambda: validate_security.fn(grounds.plan, grounds.subject))) == {}


def test_security_finds_a_secret_that_was_not_rotated(grounds):
    taken = fingerprints.take(grounds.plan, "inc-planted", ["prefect_encryption"])
    case = grounds.subject.model_copy(update={"incident": "inc-planted", "fingerprints": taken})
    plan = grounds.changed("validation.security.rotated_after_incident", ["prefect_encryption", "redis"])
    found = not_passed(validate_security.fn(plan, case))
    assert outcomes(found.values()) == {
        "rotation of prefect_encryption": "failed",
        "rotation of redis": "unknown",  # of it no fingerprint was taken
    }
    rotated = grounds.changed("secrets.prefect_encryption", "file:secrets/redis", "changed")
    assert set(not_passed(validate_security.fn(rotated, case))) == {"rotation of redis"}
