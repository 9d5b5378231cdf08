"""A drill restores on no host that leads."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks import rehearse
from tasks.clients import pgbackrest_command
from tasks.errors import Refused, Transient
from tasks.plan.load import load_plan

PLAN = load_plan(Path(__file__).parents[2] / "deployments" / "plan.yaml")
EAST, WEST = "us-east-1", "us-west-2"
LEADER, *STANDBYS = PLAN.sites[EAST].running("postgres")


def chosen(monkeypatch, *answering):
    """The host that a drill would restore on, where only some answer; its disk is full."""
    up = {
        str(site.hosts[name].address)
        for site in PLAN.sites.values()
        for name in answering
        if name in site.hosts
    }

    def run_on(_, address, *__, **___):
        if address not in up:
            raise Transient("it is down")

    monkeypatch.setattr(pgbackrest_command, "run_on", run_on)
    monkeypatch.setattr(rehearse, "active_site", lambda _: EAST)
    monkeypatch.setattr(rehearse.patroni, "leader", lambda *_: SimpleNamespace(name=LEADER))
    monkeypatch.setattr(rehearse.pgbackrest, "info_of", lambda *_: {"backup": [{"info": {"size": 1}}]})
    monkeypatch.setattr(rehearse.archiver, "free_bytes", lambda *_: 0)
    with pytest.raises(Refused) as full:
        rehearse.choose_database.fn(PLAN, SimpleNamespace(id="dr-drill-x"), WEST, "newest", None)
    return full.value.message.split()[0]


def test_where_the_other_site_is_down_a_standby_of_the_active_one_is_taken(monkeypatch):
    assert chosen(monkeypatch, LEADER, STANDBYS[0]) == STANDBYS[0]
    west = next(iter(PLAN.sites[WEST].running("postgres")))
    assert chosen(monkeypatch, LEADER, STANDBYS[0], west) == west


def test_where_only_the_leader_answers_nothing_is_restored(monkeypatch):
    with pytest.raises(Transient, match="no database host answers"):
        chosen(monkeypatch, LEADER)
