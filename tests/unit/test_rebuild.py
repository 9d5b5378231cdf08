"""How a node came to follow is read from its labels, and leave to remove data is taken away whole."""

import pytest

from tasks.clients import patroni, rebuild
from tasks.clients.patroni import REBUILD, without_rebuild
from tasks.clients.rebuild import COPIED, FOLLOWED, RESTORED, REWOUND, way_of

# As PostgreSQL 15 and pgBackRest 2.45 write them; the number is the file's.
OWN = "41\nSTART WAL LOCATION: 0/2000028\nBACKUP METHOD: streamed\nLABEL: pg_basebackup base backup\n"
BASE = "57\nSTART WAL LOCATION: 0/8000028\nBACKUP METHOD: streamed\nLABEL: pg_basebackup base backup\n"
REPOSITORY = "58\nSTART WAL LOCATION: 0/4000028\nBACKUP METHOD: streamed\nLABEL: pgBackRest backup started at 2026\n"
REWIND = "59\nSTART WAL LOCATION: 0/6000028\nBACKUP METHOD: pg_rewind\nBACKUP FROM: standby\n"


@pytest.mark.parametrize("before", ["", OWN, REPOSITORY.replace("58", "40")])
@pytest.mark.parametrize(("after", "way"), [(BASE, COPIED), (REPOSITORY, RESTORED), (REWIND, REWOUND)])
def test_each_way_is_told_from_the_others(before, after, way):
    assert way_of(before, after) == way
    assert way_of(after, after) == FOLLOWED


def test_a_cluster_that_never_recovered_followed_as_it_was():
    assert way_of("", "") == FOLLOWED


def test_the_leave_is_taken_away_and_nothing_else():
    config = {"ttl": 20, "postgresql": {"use_pg_rewind": True, REBUILD: True}}
    assert without_rebuild(config) == {"ttl": 20, "postgresql": {"use_pg_rewind": True}}
    assert without_rebuild({"ttl": 20}) == {"ttl": 20}


@pytest.mark.parametrize(
    ("told", "heard"),
    [
        ("\n", True),
        ("", False),
        ("{}", False),
        ('{"postgresql": {"use_pg_rewind": true}}', False),
        ('{"postgresql": {"remove_data_directory_on_rewind_failure": true}}', True),
    ],
)
def test_a_node_has_heard_when_it_goes_by_the_leave_or_has_no_data(monkeypatch, told, heard):
    monkeypatch.setattr(rebuild, "_ask", lambda *_: told)
    assert rebuild.has_heard(None, "north", "one") is heard


@pytest.mark.parametrize("change", [patroni.hold_as_standby, patroni.release, rebuild.forbid])
def test_a_site_that_is_held_or_released_may_not_remove_data(monkeypatch, change):
    before = {"postgresql": {REBUILD: True}, "standby_cluster": {"host": "10.2.1.1"}}
    after = []
    edit = lambda _plan, _site, change: after.append(change(before))  # noqa: E731 - one line
    monkeypatch.setattr(patroni, "edit_config", edit)
    monkeypatch.setattr(rebuild, "edit_config", edit)
    monkeypatch.setattr(patroni, "_remove_fence", lambda *_: None)
    change(None, "north")
    [config] = after
    assert config["postgresql"] == {}
