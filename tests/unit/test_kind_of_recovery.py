"""An incident goes on as what it has become: the flow that resumes it is the one that took it up last."""

from types import SimpleNamespace

import pytest

import tasks.declare
import tasks.impact
import tasks.restore_cold
from tasks.clients import truth as truths
from tasks.clients.etcd import Entry
from tasks.clients.truth import Truth
from tasks.errors import Refused
from tasks.facts.incident import Incident
from tasks.facts.response import Alarm, Impact, Strategy

EAST, WEST = "us-east-1", "us-west-2"
NOON = "2026-01-01T12:00:00Z"
PLAN = SimpleNamespace(
    service=SimpleNamespace(name="naas-api"), sites={WEST: SimpleNamespace(addresses=lambda _: ["there"])}
)


class World:
    """An open incident's truth and records, and whether the site that takes over takes writes."""

    def __init__(self):
        self.truth, self.records, self.writable = None, {}, []

    def opened(self, begun, **changed):
        self.truth = Truth(active=WEST, epoch=7, incident="inc-1", previous=EAST, kind=begun, done=False)
        self.truth = self.truth.model_copy(update=changed)
        told = {"id": "inc-1", "service": "naas-api", "failed_site": EAST, "to_site": WEST, "epoch": 7,
                "reason": "", "detected_at": NOON, "triggered_at": NOON, "kind": begun}  # fmt: skip
        self.records["incident.json"] = Incident.model_validate(told).model_dump_json()

    def get(self, key):
        assert key == "/naas-dr/naas-api/truth"
        return Entry(self.truth.model_dump_json(), 5)

    def swap(self, _key, value, revision):
        assert revision == 5
        self.truth = Truth.model_validate_json(value)
        return True

    def read(self, _plan, _incident, name, _failed_site=""):
        return self.records.get(name)

    def write(self, _plan, failed_site, incident, name, data):
        assert (failed_site, incident) == (EAST, "inc-1")
        self.records[name] = data

    @property
    def kinds(self):
        return self.truth.kind, Incident.model_validate_json(self.records["incident.json"]).kind

    def taken_up(self, kind):
        if kind == "switchover":
            return tasks.declare.declare_move.fn(PLAN, "", None, "inc-1")
        return tasks.declare.declare.fn(PLAN, "", None, "inc-1", None, kind)


@pytest.fixture
def world(monkeypatch):
    world = World()
    monkeypatch.setattr(truths, "etcd_of", lambda _: world)
    for module in (tasks.declare, tasks.restore_cold):
        monkeypatch.setattr(module, "journal", world)
    monkeypatch.setattr(tasks.declare.postgres, "writable", lambda *_: world.writable)
    return world


@pytest.mark.parametrize(
    ("begun", "kind"), [("failover", "cold"), ("cold", "failover"), ("switchover", "failover")]
)
def test_one_that_moved_nothing_yet_is_recovered_in_another_way(world, begun, kind):
    world.opened(begun)
    case = world.taken_up(kind)
    assert (case.kind, case.resumed, world.kinds) == (kind, True, (kind, kind))
    assert world.taken_up(kind) == case


@pytest.mark.parametrize("kind", ["failover", "cold", "switchover"])
def test_one_of_the_same_kind_is_only_read(world, kind):
    world.opened(kind)
    world.writable = ["there"]
    before = dict(world.records), world.truth
    assert world.taken_up(kind).kind == kind
    assert (world.records, world.truth) == before


def test_what_was_killed_between_its_two_records_is_made_whole(world):
    world.opened("failover", kind="cold")
    world.writable = ["there"]
    assert world.taken_up("cold").kind == "cold"
    assert world.kinds == ("cold", "cold")


def test_a_recovery_from_backups_that_put_its_database_in_place_is_no_failover_any_more(world):
    world.opened("cold")
    world.records["patroni.json"] = "{}"
    with pytest.raises(Refused, match="cannot become a failover"):
        world.taken_up("failover")
    assert world.kinds == ("cold", "cold")


def test_a_failover_that_promoted_its_standby_is_not_recovered_from_backups(world):
    world.opened("failover")
    world.writable = ["there"]
    with pytest.raises(Refused, match="takes writes already"):
        world.taken_up("cold")
    assert world.kinds == ("failover", "failover")


def test_one_that_an_earlier_version_recovered_from_backups_goes_on_so(world):
    world.opened("failover")
    world.records["patroni.json"], world.writable = "{}", ["there"]
    assert world.taken_up("cold").kind == "cold"
    assert world.kinds == ("cold", "cold")


@pytest.mark.parametrize("begun", ["failover", "cold"])
def test_a_loss_becomes_no_planned_move(world, begun):
    world.opened(begun)
    with pytest.raises(Refused, match="begins as one"):
        world.taken_up("switchover")


@pytest.mark.parametrize("changed", [{"done": True}, {"incident": "inc-2", "epoch": 8}])
def test_one_that_is_not_open_is_left_to_the_steps_which_refuse_it(world, changed):
    world.opened("failover", **changed)
    assert world.taken_up("cold").kind == "failover"
    assert world.kinds == ("failover", "failover")


def impact(kind):
    alarm = Alarm(
        incident="inc-1", site=EAST, reason="", source="manual_trigger", evidence="",
        detected_at=NOON, raised_at=NOON,
    )  # fmt: skip
    return Impact(
        alarm=alarm, at=NOON, active=EAST, components=(), users_served=False, strategies=(),
        recommended=Strategy(kind=kind, site=WEST) if kind else None, why="",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("recommended", "cold"), [("cold standby", True), ("hot standby", False), (None, False)]
)
def test_an_alarm_that_is_no_incident_yet_is_recovered_as_recommended(world, recommended, cold):
    world.opened("cold", incident="inc-0", done=True)
    assert tasks.impact.goes_cold.fn(PLAN, impact(recommended)) is cold


@pytest.mark.parametrize("begun", ["cold", "failover"])
@pytest.mark.parametrize("recommended", ["cold standby", "hot standby", None])
def test_what_has_begun_goes_on_so_whatever_is_recommended_by_then(world, begun, recommended):
    world.opened(begun)
    assert tasks.impact.goes_cold.fn(PLAN, impact(recommended)) is (begun == "cold")
