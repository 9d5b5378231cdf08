"""What is set apart for years is proven while it lies there: each object that is lost or damaged is named."""

import hashlib
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from tasks import inventory, verify_long_term
from tasks.clients import longterm
from tasks.clients.longterm import LongTermPoint
from tasks.clients.manifest import StoredPoint, manifest_of
from tasks.clients.objects import Entry, Missing
from tasks.errors import Permanent, Transient
from tasks.facts.backups import Damage, Verified
from tasks.plan.load import load_plan
from tasks.policy.catalogue import expected_months, judge_all
from tasks.policy.long_term import due_months, folder_of
from tasks.policy.verification import recorded, wrong
from tasks.verified import read_verified
from tasks.verify_long_term import verify_month

PLAN = load_plan(Path(__file__).parents[2] / "deployments" / "plan.yaml")
NOW = datetime(2026, 6, 30, 12, tzinfo=UTC)
DAY = timedelta(days=1)
YEARS = PLAN.protection.archive.retention
SITE, STANZA = PLAN.site_of("archive"), PLAN.postgresql_ha.cluster_name
MONTH, LABEL, LEFT = "2026-06", "20260601-020000F", "20260531-020000F"
HERE = folder_of(MONTH)
WAL = [f"0000000100000000000000{number}" for number in ("FE", "FF")] + ["000000010000000100000000"]
INFO = f"""[backup:current]
{LABEL}={{"backup-archive-start":"{WAL[0]}","backup-archive-stop":"{WAL[-1]}","backup-error":false,\
"backup-timestamp-stop":1780279200,"db-id":1}}

[db:history]
1={{"db-catalog-version":202209061,"db-version":"15"}}
"""
SEALED = b"sealed"
REDIS = StoredPoint(
    "redis",
    "20260601T000000Z",
    datetime(2026, 6, 1, tzinfo=UTC),
    len(SEALED),
    {"dump": (len(SEALED), hashlib.sha256(SEALED).hexdigest())},
    {},
)
ARCHIVE, BACKUP = f"{HERE}/pgbackrest/archive/{STANZA}", f"{HERE}/pgbackrest/backup/{STANZA}"
OBJECTS = {
    **{f"{ARCHIVE}/archive.info{end}": b"archives" for end in ("", ".copy")},
    **{f"{BACKUP}/backup.info{end}": INFO.encode() for end in ("", ".copy")},
    **{f"{BACKUP}/{LABEL}/backup.manifest{end}": b"files" for end in ("", ".copy")},
    f"{BACKUP}/{LABEL}/bundle/1": b"pages",
    **{f"{ARCHIVE}/15-1/{name[:16]}/{name}-{'a' * 40}.zst": b"wal" for name in WAL},
    f"{HERE}/{REDIS.folder}/manifest.json": manifest_of(REDIS),
    f"{HERE}/{REDIS.folder}/dump.age": SEALED,
}
POINT = LongTermPoint(
    MONTH, LABEL, NOW, NOW + YEARS, len(OBJECTS), sum(map(len, OBJECTS.values())), {"redis": REDIS.stamp}
)


class Bucket:
    """A bucket in memory."""

    name = "archive"

    def __init__(self, objects):
        self.objects = dict(objects)

    def get(self, key):
        if key not in self.objects:
            raise Missing(f"there is no {key}")
        return self.objects[key]

    def list(self, prefix):
        return [Entry(key, len(it), "", NOW) for key, it in self.objects.items() if key.startswith(prefix)]

    def children(self, prefix):
        rest = (key.removeprefix(f"{prefix}/") for key in self.objects if key.startswith(f"{prefix}/"))
        return sorted({f"{prefix}/{each.partition('/')[0]}" for each in rest if "/" in each}), ()

    def create(self, key, data):
        self.objects.setdefault(key, data)


@pytest.fixture
def bucket(monkeypatch):
    made = Bucket(OBJECTS)
    longterm.write_point(made, POINT)
    for module in ("verify_long_term", "clients.longterm", "clients.point_contents"):
        monkeypatch.setattr(f"tasks.{module}.Bucket.readable", lambda *_: made)
    monkeypatch.setattr(
        "tasks.clients.point_contents.sha256_of", lambda _, key: hashlib.sha256(made.get(key)).hexdigest()
    )
    monkeypatch.setattr(type(PLAN), "secret", lambda *_: "")
    told(monkeypatch)
    return made


def told(monkeypatch, *damages):
    """What pgBackRest says of the month's own repository."""

    def verify(_plan, site, *, timeout, root):
        assert (site, root) == (SITE, f"{HERE}/pgbackrest")
        return damages

    monkeypatch.setattr(verify_long_term.pgbackrest, "verify", verify)


def found():
    [seen] = verify_month.fn(PLAN, MONTH)
    assert (seen.asset, seen.site) == (HERE, SITE)
    return seen


def test_a_whole_month_is_good(bucket):
    seen = found()
    assert seen.damages == ()
    assert (seen.objects, seen.bytes) == (POINT.objects, POINT.size)


@pytest.mark.parametrize("key", [key for key in OBJECTS if "/bundle/" not in key])
def test_a_lost_object_is_named(bucket, key):
    del bucket.objects[key]
    [damage] = found().damages
    assert key.startswith(damage.name), "a segment by its name alone, as its checksum is not known"
    assert damage.name != HERE
    assert damage.what == "missing"


def test_what_nothing_names_is_missed_by_the_count(bucket):
    del bucket.objects[f"{BACKUP}/{LABEL}/bundle/1"]
    [damage] = found().damages
    assert damage.name == HERE
    assert f"{POINT.objects - 1} objects" in damage.what


def test_what_pgbackrest_finds_is_damage(bucket, monkeypatch):
    told(
        monkeypatch, (f"{LABEL}/bundle/1", "invalid checksum"), (f"{LEFT}", "the backup is manifest missing")
    )
    assert [each.name for each in found().damages] == [f"{LABEL}/bundle/1"]


def test_lost_wal_is_named_beside_what_pgbackrest_finds(bucket, monkeypatch):
    told(monkeypatch, ("repository", "no archives exist in the repo"))
    for key in [key for key in OBJECTS if key.endswith(".zst")]:
        del bucket.objects[key]
    names = [each.name.rpartition("/")[2] for each in found().damages]
    assert names == ["repository", *WAL]


def test_a_changed_sealed_object_is_named(bucket):
    key = f"{HERE}/{REDIS.folder}/dump.age"
    bucket.objects[key] = b"sealeD"
    assert found().damages == (Damage(HERE, SITE, key, "SHA-256 differs"),)


def test_what_a_broken_off_run_left_stands_for_nothing_that_is_lost(bucket):
    bucket.objects |= {f"{BACKUP}/{LEFT}/bundle/{number}": b"left" * 9 for number in range(9)}
    bucket.objects[f"{HERE}/points/redis/20260531T000000Z/dump.age"] = b"left" * 9
    assert found().damages == ()
    del bucket.objects[f"{ARCHIVE}/15-1/{WAL[1][:16]}/{WAL[1]}-{'a' * 40}.zst"]
    assert [each.name.rpartition("/")[2] for each in found().damages] == [WAL[1]]


@pytest.mark.parametrize("mark", [None, b"{", b"\xff", b"[]"])
def test_a_month_without_its_mark_is_damaged(bucket, mark):
    bucket.objects.pop(f"{HERE}/point.json")
    if mark is not None:
        bucket.objects[f"{HERE}/point.json"] = mark
    assert [each.name for each in found().damages] == [f"{HERE}/point.json"]
    assert longterm.marked_months(PLAN) == ({} if mark is None else {MONTH: None})


def record(month, days, *what):
    damages = tuple(Damage(folder_of(month), SITE, "x", each) for each in what)
    return Verified(folder_of(month), SITE, NOW - days * DAY, "read", 1, 1, damages)


def test_the_newest_month_is_due_and_the_others_in_turn():
    months = ["2026-01", "2026-02", "2026-03", "2026-04"]
    assert due_months([], {}, NOW, YEARS) == ()
    assert due_months(months[:1], {}, NOW, YEARS) == ("2026-01",)
    known, seen = {}, []
    for day in range(6, 0, -1):
        due = due_months(months, known, NOW, YEARS)
        known |= {month: record(month, day) for month in due}
        seen.append(due)
    assert {newest for newest, _ in seen} == {"2026-04"}
    assert [other for _, other in seen] == months[:3] * 2


def test_what_is_damaged_or_lost_is_looked_at_in_every_run():
    known = {"2026-01": record("2026-01", 9), "2026-02": record("2026-02", 1, "flipped")}
    known["2026-03"] = Permanent("no record that can be read")
    marked = ["2026-01", "2026-02", "2026-03", "2026-04"]
    assert due_months(marked, known, NOW, YEARS) == ("2026-04", "2026-03", "2026-02")
    assert due_months(["2026-04"], {"2026-02": record("2026-02", 1)}, NOW, YEARS) == ("2026-04", "2026-02")
    assert due_months(["2026-04"], {"2015-02": record("2015-02", 1)}, NOW, YEARS) == ("2026-04",), "expired"


def test_a_month_s_damage_fails_the_run_and_is_on_record_whatever_else_could_not_be_told():
    bad, good = record("2026-01", 0, "flipped"), record("2026-03", 0)
    results = {
        (SITE, bad.asset): (bad,),
        (SITE, folder_of("2026-02")): Transient("no host answers"),
        (SITE, good.asset): (good,),
    }
    assert wrong(PLAN, results) == [
        f"long-term/2026-02 at {SITE}: not known: no host answers: ",
        f"long-term/2026-01 at {SITE}: x: flipped",
    ]
    assert recorded(results) == (bad, good)


def test_the_record_of_a_month_is_read_by_its_name(monkeypatch):
    text = TypeAdapter(Verified).dump_json(record(MONTH, 1)).decode()
    monkeypatch.setattr(
        "tasks.verified.newest.versions", lambda *_: {f"verified/{SITE}/{HERE}.json": (text,)}
    )
    assert read_verified(PLAN) == {(HERE, SITE): record(MONTH, 1)}


def rows(monkeypatch, months, known):
    monkeypatch.setattr(inventory, "_listed", lambda _, site, __: tuple(inventory._long_term(PLAN, site)))
    monkeypatch.setattr(inventory, "LISTINGS", {"pgbackrest": inventory._database})
    monkeypatch.setattr(inventory.longterm, "marked_months", lambda _: months)
    held = inventory.holdings(PLAN, (SITE,), {(each.asset, SITE): each for each in known})
    seen = judge_all(held, expected_months(PLAN, held), NOW)
    return {row.asset: row for row in seen if row.asset.startswith("long-term/")}


def point(month, days):
    return replace(POINT, month=month, until=NOW - days * DAY + YEARS)


def test_the_catalogue_tells_of_each_month_by_itself(monkeypatch):
    months = {
        "2026-02": point("2026-02", 120),
        "2026-03": point("2026-03", 90),
        "2026-06": point("2026-06", 0),
    }
    known = [record("2026-01", 1, "missing"), record("2026-02", 3), record("2026-03", 1, "flipped")]
    seen = rows(monkeypatch, {**months, "2026-05": None}, known)
    assert {asset: row.state for asset, row in seen.items()} == {
        "long-term/2026-01": "damaged",
        "long-term/2026-02": "ok",
        "long-term/2026-03": "damaged",
        "long-term/2026-05": "damaged",
        "long-term/2026-06": "ok",
    }
    assert "flipped" in seen["long-term/2026-03"].finding.detail
    assert "locked versions" in seen["long-term/2026-03"].finding.hint
    told = seen["long-term/2026-06"]
    assert (told.verified, told.finding.detail) == (None, "not verified yet")


def test_a_month_that_nobody_verified_in_its_turn_is_told(monkeypatch):
    seen = rows(monkeypatch, {month: point(month, 90) for month in ("2026-01", "2026-02")}, [])
    assert [row.finding.detail for row in seen.values()] == ["never verified"] * 2
    assert [row.finding.severity for row in seen.values()] == ["warning"] * 2
    late = rows(monkeypatch, {"2026-02": point("2026-02", 90)}, [record("2026-02", 3)])
    assert late["long-term/2026-02"].finding.detail == "not verified for 3 d"


def test_a_mark_is_written_and_read_as_it_was(bucket):
    assert asdict(longterm.marked_months(PLAN)[MONTH]) == asdict(POINT)
