"""Damage, what is not there, and what could not be told are never taken for good."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from tasks.clients.objects import Entry
from tasks.errors import Permanent, Refused, Transient
from tasks.facts.backups import Damage, Verified
from tasks.plan.load import load_plan
from tasks.policy.verification import (
    check_of,
    compared,
    recorded,
    verification_markdown,
    without_remains,
    wrong,
)
from tasks.verified import read_verified
from tasks.verify import chosen_share, chosen_sites, damaged_before, sealed_assets

PLAN = load_plan(Path(__file__).parents[2] / "deployments" / "plan.yaml")
NOW = datetime(2026, 6, 30, 12, tzinfo=UTC)
SITE = "us-east-1"


def verified(asset, *damages, objects=1, method="read", minutes=0):
    found = tuple(Damage(asset, SITE, name, what) for name, what in damages)
    return Verified(asset, SITE, NOW + timedelta(minutes=minutes), method, objects, 1, found)


def good():
    return {
        (SITE, "database"): (verified("database"),),
        (SITE, "database, started"): (verified("database", method="started", minutes=5),),
        (SITE, "files"): (verified("files/uploads"),),
        (SITE, "points"): tuple(verified(asset) for asset in sealed_assets(PLAN)),
    }


def test_whole_copies_are_good_and_on_record():
    assert wrong(PLAN, good()) == []
    found = {each.asset: each for each in recorded(good())}
    assert found.keys() == set(PLAN.protection.assets())
    assert found["database"].method == "read; started"
    assert found["database"].at == NOW + timedelta(minutes=5)


def test_damage_is_named_whichever_check_found_it():
    results = good() | {(SITE, "database, started"): (verified("database", ("20260630F", "does not start")),)}
    assert wrong(PLAN, results) == [f"database at {SITE}: 20260630F: does not start"]
    [database] = (each for each in recorded(results) if each.asset == "database")
    assert len(database.damages) == 1
    assert "does not start" in verification_markdown(results, [])


def test_a_check_that_could_not_be_made_leaves_the_last_record():
    results = good() | {(SITE, "database, started"): Transient("no host answers", "x")}
    assert wrong(PLAN, results) == [f"database, started at {SITE}: not known: no host answers: x"]
    assert "database" not in {each.asset for each in recorded(results)}
    assert "redis" in {each.asset for each in recorded(results)}


def test_damage_is_on_record_though_another_check_could_not_be_made():
    results = good() | {
        (SITE, "database"): (verified("database", ("a", "flipped")),),
        (SITE, "database, started"): Permanent("no"),
    }
    assert "database" in {each.asset for each in recorded(results)}


@pytest.mark.parametrize("empty", [(), (verified("files/uploads", ("restic", "no"), objects=0),)])
def test_what_is_not_there_is_wrong_and_no_damage_on_record(empty):
    results = good() | {(SITE, "files"): empty}
    assert wrong(PLAN, results) == [f"files/uploads at {SITE}: nothing to verify"]
    assert "files/uploads" not in {each.asset for each in recorded(results)}


def test_a_dead_site_hides_no_other():
    dead = {("us-west-2", check): Transient("dead") for _, check in good()}
    assert len(wrong(PLAN, good() | dead)) == 4
    assert len(recorded(good() | dead)) == len(PLAN.protection.assets())


def test_what_the_sites_hold_differently_is_damage_of_its_assets():
    database = Damage("database", SITE, "pgbackrest/x", "missing")
    shared = Damage("restic", SITE, "restic/data/ab", "another size")
    found = compared(PLAN, "pgbackrest", (database,), NOW) + compared(PLAN, "restic", (shared,), NOW)
    assert [each.asset for each in found] == ["database", "files/uploads"]
    results = good() | {check_of("restic"): found[1:]}
    assert wrong(PLAN, results) == [f"files/uploads at {SITE}: restic/data/ab: another size"]
    [files] = (each for each in recorded(results) if each.asset == "files/uploads")
    assert files.method == "read; compared with the other sites"
    assert len(files.damages) == 1


def test_a_comparison_that_could_not_be_made_is_told_and_hides_no_record():
    results = good() | {check_of("points"): Transient("a site is dead")}
    assert wrong(PLAN, results) == ["points, compared at every site: not known: a site is dead: "]
    assert len(recorded(results)) == len(PLAN.protection.assets())


def test_the_empty_folder_of_an_expired_backup_is_no_damage():
    gone, kept, left = "20260601-020000F", "20260630-020000F", "20260602-020000F"
    found = [(label, "manifest missing") for label in (gone, kept, left)] + [("archive.info", "differs")]
    assert without_remains(found, {kept}, lambda label: label != left) == found[1:]


def test_parts_and_sites_are_checked():
    assert chosen_share(PLAN, None) == PLAN.protection.verification.sample
    assert chosen_share(PLAN, 0.5) * 2 == 1
    for odd in (1.1, -0.1, float("nan"), "x"):
        with pytest.raises(Refused, match="not a part"):
            chosen_share(PLAN, odd)
    assert chosen_sites(PLAN, None) == tuple(PLAN.sites)
    with pytest.raises(Refused, match="no site"):
        chosen_sites(PLAN, "mars")


def test_what_a_sample_found_damaged_is_read_as_a_whole_until_it_is_good(monkeypatch):
    whole, torn = verified("files/uploads"), verified("redis", ("points/redis/a", "changed"))
    monkeypatch.setattr("tasks.verify.read_verified", lambda _: {(e.asset, e.site): e for e in (whole, torn)})
    assert damaged_before.fn(PLAN) == {(SITE, "points")}


class Store:
    """A site's store, with the records that it has."""

    def __init__(self, records):
        self.records = records

    def list(self, _):
        return [Entry(key, 1, "", NOW) for key in self.records]

    def get(self, key):
        return self.records[key]


def test_a_record_that_no_store_can_read_may_tell_of_damage(monkeypatch):
    older, newer = (
        TypeAdapter(Verified).dump_json(verified("files/uploads", minutes=minute)) for minute in (0, 9)
    )
    files, redis = (f"verified/{SITE}/{asset}.json" for asset in ("files/uploads", "redis"))
    first, *others = PLAN.sites
    stores = {site: Store({files: older, redis: b"{}"}) for site in others}
    stores[first] = Store({files: newer, redis: b"\xff torn"})
    monkeypatch.setattr("tasks.clients.newest.Bucket.readable", lambda _, site, __: stores[site])
    found = read_verified(PLAN)
    assert found["files/uploads", SITE].at == NOW + timedelta(minutes=9)
    assert isinstance(found["redis", SITE], Permanent)
    assert damaged_before.fn(PLAN) == {(SITE, "points")}, "it is read as a whole, and its record written anew"
