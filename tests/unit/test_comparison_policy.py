from datetime import UTC, datetime, timedelta

import pytest

from tasks.clients.objects import Entry
from tasks.policy.comparison import (
    Frame,
    Seen,
    asset_of,
    differs,
    good_site,
    missing_sites,
    retention_class,
    wrong_sites,
)

NOW = datetime(2026, 1, 31, tzinfo=UTC)
OLD = datetime(2026, 1, 30, tzinfo=UTC)
KEEP = {"full": timedelta(30), "incr": timedelta(7), "wal": timedelta(7), "restic": timedelta(14)}
FRAME = Frame(
    ("north", "south", "vault"), {"south": "north", "vault": "south"}, timedelta(hours=2), KEEP, NOW
)
KEY = "pgbackrest/archive/main/15-1/0000000100000000/000000010000000000000003-" + "a" * 40 + ".zst"


def seen(key=KEY, *, at=OLD, records=None, proofs=None, mutable=False, **etags):
    entries = {site: Entry(key, 1, etag, at) for site, etag in etags.items()}
    return Seen(key, entries, records or {}, proofs or {}, mutable=mutable)


def test_only_rows_that_differ_are_looked_at():
    entry = Entry(KEY, 1, "a", OLD)
    assert not differs([entry, entry, entry])
    assert differs([entry, None, entry])
    assert differs([entry, Entry(KEY, 1, "b", OLD), entry])


@pytest.mark.parametrize("site", ["north", "south", "vault"])
def test_two_that_agree_outvote_the_third(site):
    found = seen(**{**dict.fromkeys(FRAME.sites, "good"), site: "bad"})
    assert set(wrong_sites(found, FRAME)) == {site}
    assert good_site(found, FRAME, site) in set(FRAME.sites) - {site}


def test_a_copy_that_was_made_in_other_parts_is_the_same():
    found = seen(north="a-1", south="b-2", vault="c-3", records={"south": "a-1", "vault": "b-2"})
    assert wrong_sites(found, FRAME) == {}


def test_of_two_the_one_that_changed_since_it_was_copied_is_wrong():
    found = seen(north="new", south="old", records={"south": "old"})
    assert set(wrong_sites(found, FRAME)) == {"north"}
    assert good_site(found, FRAME, "north") == "south"


def test_of_two_the_one_that_was_never_copied_is_wrong():
    assert set(wrong_sites(seen(north="a", south="b"), FRAME)) == {"south"}


def test_where_nothing_tells_every_site_is_named_and_none_is_good():
    found = seen(north="a", south="b", vault="c", records={"south": "x", "vault": "y"})
    assert set(wrong_sites(found, FRAME)) == set(FRAME.sites)
    assert all(good_site(found, FRAME, site) is None for site in FRAME.sites)


def test_content_that_is_proven_outvotes_the_majority():
    found = seen(
        north="good", south="bad", vault="bad", proofs={"north": True, "south": False, "vault": False}
    )
    assert set(wrong_sites(found, FRAME)) == {"south", "vault"}
    assert good_site(found, FRAME, "south") == "north"


def test_what_is_young_may_be_missing_and_what_is_old_may_not():
    assert missing_sites(seen(north="a", at=NOW - timedelta(hours=1)), FRAME) == {}
    assert set(missing_sites(seen(north="a"), FRAME)) == {"south"}


@pytest.mark.parametrize(
    ("key", "damaged"),
    [
        ("pgbackrest/backup/main/20260120-020000F/backup.manifest", True),
        ("pgbackrest/backup/main/20251231-020000F/backup.manifest", False),
        ("pgbackrest/backup/main/20260120-020000F_20260122-020000I/pg_data/1", False),
    ],
)
def test_an_expired_backup_may_be_gone_at_some_sites(key, damaged):
    assert bool(missing_sites(seen(key, north="a", vault="a"), FRAME)) is damaged


def test_what_the_active_site_lost_is_known_from_a_copy_that_was_made_of_it():
    assert set(missing_sites(seen(south="a", vault="a", records={"south": "a"}), FRAME)) == {"north"}


def test_what_only_a_former_primary_has_was_never_at_the_others():
    after = Frame(("south", "north", "vault"), {"north": "south", "vault": "south"}, timedelta(0), KEEP, NOW)
    assert missing_sites(seen(north="a"), after) == {}


def test_a_late_copy_of_a_changing_object_is_told_and_one_on_its_way_is_not():
    assert wrong_sites(seen(north="new", south="old", at=NOW, mutable=True), FRAME) == {}
    assert set(wrong_sites(seen(north="new", south="old", mutable=True), FRAME)) == {"south"}


def test_the_source_s_own_changing_object_is_healed_by_two_that_agree_only():
    damaged = {"north": False}
    alone = seen(north="bad", south="b", vault="c", proofs=damaged, mutable=True)
    agreed = seen(north="bad", south="b", vault="b", proofs=damaged, mutable=True)
    assert good_site(alone, FRAME, "north") is None
    assert good_site(agreed, FRAME, "north") == "south"


@pytest.mark.parametrize(
    ("key", "asset", "kind"),
    [
        (KEY, "database", "wal"),
        ("restic/data/ab/1", "restic", "none"),
        ("restic/snapshots/1", "restic", "restic"),
        ("points/secrets/plan/20260101T000000Z/plan.age", "secrets/plan", "secrets/plan"),
    ],
)
def test_every_object_has_an_asset_and_a_retention(key, asset, kind):
    assert (asset_of(key), retention_class(key)) == (asset, kind)
