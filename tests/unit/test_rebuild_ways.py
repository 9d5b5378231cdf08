"""How a node came to follow is read from its labels, and leave to remove data is taken away whole."""

import json
from pathlib import Path

import pytest

from tasks.clients.layout import Layout
from tasks.clients.patroni import REBUILD, without_rebuild
from tasks.clients.rebuild import COPIED, FOLLOWED, RESTORED, REWOUND, has_heard, label_of, way_of
from tasks.plan.load import load_plan

PLAN = load_plan(Path(__file__).parents[2] / "deployments" / "plan.yaml")
SITE = PLAN.site_of("primary")

# As PostgreSQL 15 and pgBackRest 2.45 write them; the number is the file's.
OWN = "41\nSTART WAL LOCATION: 0/2000028\nBACKUP METHOD: streamed\nLABEL: pg_basebackup base backup\n"
BASE = "57\nSTART WAL LOCATION: 0/8000028\nBACKUP METHOD: streamed\nLABEL: pg_basebackup base backup\n"
REPOSITORY = "58\nSTART WAL LOCATION: 0/4000028\nBACKUP METHOD: streamed\nLABEL: pgBackRest backup started\n"
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


@pytest.fixture
def data(tmp_path):
    """The data directory of the first database host of a plan whose hosts are folders of this one."""
    access = PLAN.access.model_copy(update={"shell": "sh -c", "root": f"{tmp_path}/{{site}}/{{host}}"})
    plan = PLAN.model_copy(update={"access": access})
    host = next(iter(plan.sites[SITE].running("postgres")))
    folder = Layout.of(plan, SITE, host).data_dir
    folder.mkdir(parents=True)
    return plan, host, folder


@pytest.mark.parametrize(
    ("remembered", "heard"),
    [
        (None, False),
        ({}, False),
        ({"postgresql": {"use_pg_rewind": True}}, False),
        ({"postgresql": {REBUILD: False}}, False),
        ({"postgresql": {REBUILD: True}}, True),
    ],
)
def test_a_node_has_heard_when_it_goes_by_the_leave(data, remembered, heard):
    plan, host, folder = data
    (folder / "global").mkdir()
    (folder / "global/pg_control").touch()
    if remembered is not None:
        (folder / "patroni.dynamic.json").write_text(json.dumps(remembered))
    assert has_heard(plan, SITE, host) is heard


def test_a_node_without_data_needs_no_leave(data):
    plan, host, folder = data
    assert has_heard(plan, SITE, host)
    folder.rmdir()
    assert has_heard(plan, SITE, host)


def test_a_label_is_the_same_when_postgresql_has_set_it_aside(data):
    plan, host, folder = data
    assert label_of(plan, SITE, host) == ""
    label = folder / "backup_label"
    label.write_text("LABEL: pgBackRest backup started at 2026\n")
    before = label_of(plan, SITE, host)
    label.rename(folder / "backup_label.old")
    assert way_of(before, label_of(plan, SITE, host)) == FOLLOWED


def test_the_same_backup_restored_again_is_told(data):
    plan, host, folder = data
    label = folder / "backup_label.old"
    label.write_text("LABEL: pgBackRest backup started at 2026\n")
    before = label_of(plan, SITE, host)
    (folder / "backup_label").write_text(label.read_text())
    assert way_of(before, label_of(plan, SITE, host)) == RESTORED
