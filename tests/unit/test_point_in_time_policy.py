"""A restored moment against the live database: what differs, what is meant, what is refused."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks import point_in_time
from tasks.clients.digests import Digest
from tasks.clients.tables import Table
from tasks.errors import Permanent, Refused
from tasks.facts.point_in_time import Rescued, TableDifference
from tasks.policy.point_in_time import (
    choose_tables,
    differences,
    in_words,
    require_action,
    require_reach,
    schema_of,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
THEN = {
    "naas/public.orders": Digest(2, 10),
    "naas/public.kept": Digest(1, 5),
    "naas/public.edited": Digest(3, 7),
    "naas/audit.orders": Digest(0, 0),
}
NOW = {
    "naas/public.kept": Digest(1, 5),
    "naas/public.edited": Digest(3, 8),
    "naas/public.young": Digest(9, 9),
}


def test_every_table_of_either_is_compared_and_what_differs_stands_first():
    found = {each.table: (each.verdict, each.then, each.now) for each in differences(THEN, NOW)}
    assert found == {
        "naas/audit.orders": ("dropped since", 0, None),
        "naas/public.edited": ("changed", 3, 3),
        "naas/public.orders": ("dropped since", 2, None),
        "naas/public.young": ("made since", None, 9),
        "naas/public.kept": ("same", 1, 1),
    }
    assert next(reversed(found)) == "naas/public.kept"


@pytest.mark.parametrize("name", ["kept", "public.kept", "naas/public.kept"])
def test_a_table_is_named_in_three_ways(name):
    assert choose_tables(differences(THEN, NOW), [name])[0].table == "naas/public.kept"


@pytest.mark.parametrize(
    ("name", "words"),
    [("orders", "not one table"), ("young", "no table young"), ("nothing", "no table nothing")],
)
def test_a_table_that_is_not_one_or_was_not_there_is_refused(name, words):
    with pytest.raises(Refused, match=words):
        choose_tables(differences(THEN, NOW), [name])


def test_an_action_without_tables_or_that_is_none_is_refused():
    require_action("compare", [])
    require_action("swap", ["orders"])
    for action, wanted in (("swap", []), ("export", []), ("overwrite", ["orders"])):
        with pytest.raises(Refused, match=action):
            require_action(action, wanted)


@pytest.mark.parametrize(
    ("oldest", "at", "words"),
    [
        (NOON, NOON - timedelta(seconds=1), "reaches back"),
        (None, NOON, "reaches back"),
        (NOON, NOON + timedelta(hours=1), "not past"),
        (NOON, NOON.replace(tzinfo=None), "time zone"),
    ],
)
def test_a_moment_that_cannot_be_reached_is_refused(oldest, at, words):
    with pytest.raises(Refused, match=words):
        require_reach(oldest, at, NOON + timedelta(hours=1))


def test_a_moment_between_the_first_backup_and_now_is_not():
    require_reach(NOON, NOON, NOON + timedelta(hours=1))


def test_the_schema_of_recovered_tables_needs_no_quotes_and_is_in_utc():
    at = datetime(2026, 11, 24, 14, 5, tzinfo=timezone(timedelta(hours=-1)))
    assert schema_of(at) == "recovered_20261124t150500"


def test_no_two_moments_share_a_schema():
    moments = [NOON + timedelta(microseconds=each) for each in (0, 1, 250_000, 1_000_000, 30_000_000)]
    assert len({schema_of(at) for at in moments}) == len(moments)


def test_a_table_that_is_named_twice_is_brought_back_once():
    [chosen] = choose_tables(differences(THEN, NOW), ["kept", "public.kept", "naas/public.kept"])
    assert chosen.table == "naas/public.kept"


@pytest.mark.parametrize(
    ("name", "schema", "plain"),
    [
        ("public.orders", "public", "orders"),
        ('public."odd.name"', "public", '"odd.name"'),
        ('"odd.schema".orders', '"odd.schema"', "orders"),
        ('"a ""b"".c"."d"', '"a ""b"".c"', '"d"'),
    ],
)
def test_a_table_is_moved_by_its_own_name_whatever_it_holds(name, schema, plain):
    table = Table("naas", name)
    assert (table.schema, table.plain) == (schema, plain)
    assert table.within("recovered_x").name == f"recovered_x.{plain}"


def test_the_words_tell_what_differs_and_where_what_was_brought_back_is():
    found = [
        TableDifference("naas/public.a", 2, None, "dropped since"),
        TableDifference("naas/b.c", 1, 1, "same"),
    ]
    words = in_words(found, [Rescued("naas/public.a", 2, "bucket/key", "age ...")])
    assert words.splitlines() == [
        "naas/public.a: dropped since, 2 rows then, not there now",
        "naas/public.a: 2 rows are in bucket/key",
        "    age ...",
        "1 tables are the same",
    ]


def test_what_was_brought_back_before_a_failure_is_told(monkeypatch):
    def brought(_server, table, *_):
        if table.name == "public.kept":
            raise Permanent("the live database refused it", "a key", "look")
        return Rescued(f"naas/{table.name}", 3, f"naas/{table.name}")

    monkeypatch.setattr(point_in_time, "active_site", lambda _: "us-east-1")
    monkeypatch.setattr(point_in_time.patroni, "leader", lambda *_: SimpleNamespace(name="a", host="h"))
    monkeypatch.setattr(point_in_time.tables, "exists", lambda *_: False)
    monkeypatch.setattr(point_in_time, "_brought", brought)
    where = ("us-east-1", "postgres-primary", Path("/copy"))
    with pytest.raises(Permanent) as failed:
        point_in_time.swap.fn(None, where, differences(THEN, NOW), ["edited", "kept"], NOON)
    assert failed.value.detail == "a key; naas/public.edited is back in naas/public.edited"
    assert failed.value.hint == "look"
