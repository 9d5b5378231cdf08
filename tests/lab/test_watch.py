"""Two vantages over real servers: they see a whole site, its loss in time, and each other's death."""

import json
import time
from contextlib import contextmanager
from datetime import UTC, datetime

import psutil
import pytest

from deployments.trigger import Api
from infra.lab.control import client_settings
from infra.lab.network import Namespaces
from infra.lab.processes import running
from tasks.policy.watch import rule_of
from tasks.watching import vantages_of

pytestmark = [pytest.mark.lab, pytest.mark.fault, pytest.mark.long]

SETTLE_S = 90


def told(lab):
    """What the vantages say now."""
    return json.loads(lab.attempt("watch", "--json", site=lab.plan.site_of("dr")).stdout)


def until(lab, holds, seconds=SETTLE_S):
    deadline = time.monotonic() + seconds
    while not holds(last := told(lab)):
        assert time.monotonic() < deadline, json.dumps(last, indent=2)
        time.sleep(0.5)
    return last


def all_are(verdict):
    return lambda last: all(each and each["verdict"] == verdict for each in last["vantages"].values())


def healthy(last):
    return all_are("healthy")(last) and last["suspicion"] is None


def names(last, vantage):
    return {finding["name"] for finding in last["vantages"][vantage]["findings"]}


def events(lab, name):
    settings = client_settings(lab.home, lab.plan)
    api = Api(settings["PREFECT_API_URL"], settings["PREFECT_API_AUTH_STRING"])
    return api.call("POST", "/events/filter", {"filter": {"event": {"name": [name]}}})["events"]


@contextmanager
def gone(lab, site, how):
    """A site that is broken or cut; yields when it was."""
    at = datetime.now(UTC)
    lab.dr("lab", how, site)
    try:
        yield at
    finally:
        lab.dr("lab", "heal", site)


def assert_detected(lab, site, since, serves_s=0):
    """Both vantages see the loss, and told each other within detection_timeout of its last served order."""
    limit_s = serves_s + lab.plan.high_availability.failover.detection_timeout.total_seconds()
    last = until(lab, lambda last: last["suspicion"] and all_are("site_failure")(last), limit_s + 5)
    took_s = (datetime.fromisoformat(last["suspicion"]["detected_at"]) - since).total_seconds()
    print(f"{site} was suspected after {took_s:.1f} s")  # noqa: T201 -- evidence, shown with -s or on failure
    assert last["suspicion"]["site"] == site
    assert took_s <= limit_s
    for vantage in last["vantages"].values():
        assert vantage["evidence"]["leader key"] == "ended"
        assert vantage["level"] == "lost"


def test_a_whole_lab_is_healthy_to_both_vantages(shared_lab):
    lab = shared_lab()
    last = until(lab, healthy)
    assert set(last["vantages"]) == set(vantages_of(lab.plan))
    for vantage in last["vantages"].values():
        assert vantage["evidence"] == {"leader key": "renewed"}
    assert lab.attempt("watch").returncode == 0


def test_the_loss_of_the_primary_site_is_detected_in_time_and_cleared_when_it_returns(shared_lab):
    lab = shared_lab()
    site = lab.plan.site_of("primary")
    until(lab, healthy)
    before = len(events(lab, "naas-dr.site.suspected"))
    with gone(lab, site, "break") as since:
        assert_detected(lab, site, since)
        assert lab.attempt("watch").returncode == 1
    until(lab, healthy)
    assert len(events(lab, "naas-dr.site.suspected")) > before
    assert events(lab, "naas-dr.site.declared") == []


def test_a_dead_vantage_is_told_by_the_other_one(shared_lab):
    lab = shared_lab()
    dr, archive = vantages_of(lab.plan)
    until(lab, healthy)
    host = next(iter(lab.plan.sites[archive].running("watch")))
    process = running(lab.home.directory)[f"{archive}/{host}/watch"]
    process.kill()
    psutil.wait_procs([process], timeout=5)
    until(lab, lambda last: f"vantage {archive}" in names(last, dr), 60)
    lab.dr("lab", "up")
    until(lab, lambda last: healthy(last) and not names(last, dr))


@pytest.mark.skipif(Namespaces.available() is not None, reason=str(Namespaces.available()))
def test_an_isolated_primary_site_is_suspected_in_time_though_nothing_refuses(labs):
    lab = labs.fresh("namespaces")
    site = lab.plan.site_of("primary")
    until(lab, healthy)
    # Users still reach it, and are served until its primary gives up.
    with gone(lab, site, "cut") as since:
        assert_detected(lab, site, since, serves_s=rule_of(lab.plan).renewal)
    until(lab, healthy)
