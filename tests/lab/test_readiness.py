"""Readiness over real servers: each fault turns its own check, and no other, from what it was before."""

import signal
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from validation_planting import TLS_SERVER, expired_store, not_receiving, validating
from waiting import until

from infra.lab.processes import running
from tasks.clients import patroni, postgres
from tasks.policy.readiness import QUESTIONS, judge_readiness
from tasks.policy.watch import rule_of
from tasks.readiness_record import last_readiness
from tasks.readiness_sights import look_around

pytestmark = [pytest.mark.lab, pytest.mark.fault, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def grounds(shared_lab):
    with validating(shared_lab()) as grounds:
        yield grounds


def judged(plan):
    return judge_readiness(plan, look_around(plan, ()))


def standings(plan):
    """How each check stands but "configuration", which looks at what another task saw."""
    return {check.name: check.standing for check in judged(plan).checks if check.name != "configuration"}


@pytest.fixture
def before(grounds):
    return standings(grounds.plan)


def changed(before, plan):
    return {name: how for name, how in standings(plan).items() if how != before[name]}


@contextmanager
def suspended(lab, key):
    """A server that does nothing and closes no connection."""
    server = running(lab.home.directory)[key]
    server.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.send_signal(signal.SIGCONT)


def test_the_flow_tells_every_answer_and_keeps_it(grounds):
    ended = grounds.lab.attempt("run", "evaluate-readiness", timeout=120)
    found = last_readiness(grounds.plan)
    assert ended.returncode == (1 if found.standing == "NOT READY" else 0), ended.stderr[-2000:]
    assert [check.name for check in found.checks] == list(QUESTIONS)
    unknown = [each for check in found.checks for each in check.findings if each.severity == "unknown"]
    assert unknown == []
    well = {check.name for check in found.checks if check.standing == "READY"}
    whole = {
        "incident",
        "replication",
        "versions",
        "etcd",
        "credentials",
        "clocks",
        "notification",
        "control",
    }
    assert whole <= well, found.reasons
    shown = grounds.lab.attempt("readiness")
    assert shown.returncode == (0 if found.standing == "READY" else 1)
    assert f"{found.service}: {found.standing}" in shown.stdout


def test_a_standby_that_receives_nothing(grounds, before):
    plan, site = grounds.plan, grounds.standby
    standby, primary = patroni.leader(plan, site), patroni.leader(plan, grounds.subject.site).host
    postgres.prove_write(plan, primary, "that it receives")
    until(lambda: postgres.position(plan, standby.host).last_commit)
    with not_receiving(plan, site, standby.name):
        postgres.prove_write(plan, primary, "that it does not receive")
        time.sleep(2)
        seen = look_around(plan, ())
        assert seen.lags[site] >= 1
        # The tier's own RPO is minutes.
        late = replace(seen, lags={site: seen.lags[site] + plan.tier.rpo.total_seconds()})
        found = {check.name: check.standing for check in judge_readiness(plan, late).checks}
    assert {name for name, how in found.items() if how != before.get(name, how)} == {"replication"}


def test_a_key_that_is_refused(grounds, before):
    plan = grounds.changed("sites.us-west-2.storage.owner", "file:secrets/us-east-1/reader.json")
    assert changed(before, plan) == {"credentials": "NOT READY"}


def test_a_certificate_that_has_expired(grounds, before):
    with expired_store(grounds.lab) as authorities:
        grounds.changed("secrets.ca_certificate", f"file:{authorities}")
        address, port = TLS_SERVER
        plan = grounds.changed("sites.eu-west-1.storage.endpoint", f"https://{address}:{port}", "changed")
        found = judged(plan)
    told = [each.detail for each in found.reasons if each.name == "certificate of the store of eu-west-1"]
    assert len(told) == 1
    assert "expired" in told[0]


def test_a_member_of_etcd_that_is_silent(grounds, before):
    with suspended(grounds.lab, "eu-west-1/etcd-archive/etcd"):
        # Where it led, the others need a moment to elect another leader.
        until(lambda: changed(before, grounds.plan) == {"etcd": "AT RISK"}, 30)
    until(lambda: standings(grounds.plan)["etcd"] == "READY", 30)


@pytest.mark.long
def test_a_watch_that_tells_nothing_any_more(grounds, before):
    patience = timedelta(seconds=rule_of(grounds.plan).patience)
    with suspended(grounds.lab, "us-west-2/control-west/watch"):
        until(lambda: standings(grounds.plan)["control"] == "NOT READY", patience.total_seconds() + 30)
        assert changed(before, grounds.plan) == {"control": "NOT READY"}
    until(lambda: standings(grounds.plan)["control"] == "READY", 60)


def test_a_channel_that_cannot_be_reached(grounds, before):
    plan = grounds.changed("notifications.email.smarthost", f"{TLS_SERVER[0]}:9")
    assert changed(before, plan) == {"notification": "AT RISK"}
