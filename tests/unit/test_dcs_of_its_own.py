"""A site with a DCS of its own: told by its nodes' REST API, fenced by commands, or by nobody."""

import pytest
from patroni_nodes import Scope, answering, plan_with_own_dcs
from prefect import flow

import tasks.clients.nodes
import tasks.fence
import tasks.hold
import tasks.override
import tasks.step
from deployments.run import run
from flows.fence_site import fence_site
from tasks.clients import patroni, patroni_etcd, patroni_rest
from tasks.clients.fence_commands import run_fence_command
from tasks.clients.nodes import look_at_nodes
from tasks.clients.truth import Truth
from tasks.errors import Permanent, Refused, Transient, Unproven
from tasks.facts.incident import Incident
from tasks.plan.fencing import FenceCommand
from tasks.policy.fence import state_of, writers

SITE = "us-east-1"
STATEMENT = "I, ada-lindqvist, know that us-east-1 may still take writes"


def command(name, script, *, proves=False, timeout="5 seconds"):
    return {"name": name, "command": f"sh -c '{script}'", "proves": proves, "timeout": timeout}


@pytest.fixture
def plan(tmp_path):
    return plan_with_own_dcs(tmp_path)


@pytest.fixture
def scope(plan):
    return Scope(plan, SITE)


class Journal:
    """The records of an incident in memory; the lab's test has real stores."""

    def __init__(self):
        self.records = {}

    def write(self, _plan, _failed_site, _incident, name, data):
        self.records[name] = data

    def read(self, _plan, _incident, name, _failed_site=""):
        return self.records.get(name)

    def read_all(self, _plan, _incident, prefix):
        return [text for name, text in sorted(self.records.items()) if name.startswith(prefix)]


@pytest.fixture
def records(monkeypatch):
    """An open incident's journal, and a truth that is ours."""
    journal = Journal()
    for module in (tasks.fence, tasks.override, tasks.step):
        monkeypatch.setattr(module, "journal", journal)
    for module in (tasks.fence, tasks.override):
        monkeypatch.setattr(module, "require_epoch", lambda *_: None)
    monkeypatch.setattr(tasks.fence, "_NEVER_S", 0.0)
    monkeypatch.setattr(
        "tasks.clients.fence_commands.masker", lambda _: str
    )  # the plan's secrets are not there
    return journal.records


@pytest.fixture
def databases(monkeypatch):
    """Each node's PostgreSQL as its Patroni has it; those without one of the fixture's scopes are silent."""
    known = {}

    def try_write(plan, address):
        scope = known.get("scope")
        names = {str(host.address): name for name, host in plan.sites[SITE].running("postgres").items()}
        if scope is None or names[address] not in known["listening"]:
            return "unknown"
        return "taken" if scope.takes_writes(names[address]) else "refused"

    monkeypatch.setattr(tasks.clients.nodes, "_try_write", try_write)
    return known


@pytest.fixture
def site(scope, databases):
    """Have these nodes of the site answer, Patroni and PostgreSQL."""

    def up(*names):
        databases.update(scope=scope, listening=names)
        return answering(scope, *names)

    return up


@pytest.fixture
def incident():
    return Incident.model_validate(
        {
            "id": "inc-1",
            "service": "naas-api",
            "failed_site": SITE,
            "to_site": "us-west-2",
            "epoch": 1,
            "reason": "a test",
            "detected_at": "2026-01-01T12:00:00Z",
            "triggered_at": "2026-01-01T12:00:00Z",
        }
    )


# the record of a scope


def test_the_record_is_read_and_changed_by_any_node_that_answers(plan, scope):
    with answering(scope, scope.names[1]):
        patroni.hold_as_standby(plan, SITE)
        assert patroni.read_config(plan, SITE)["standby_cluster"]["port"] == 1
        assert scope.config["ttl"] == 20
        patroni.follow(plan, SITE, "us-west-2")
    followed = scope.config["standby_cluster"]
    assert followed["host"].split(",") == plan.sites["us-west-2"].addresses("postgres")
    # Merged, not replaced: what held it must be taken away by name.
    assert "restore_command" not in followed
    assert scope.patches[-1]["standby_cluster"]["restore_command"] is None


def test_a_site_that_follows_is_not_held_again(plan, scope):
    with answering(scope, *scope.names):
        patroni.follow(plan, SITE, "us-west-2")
        followed = scope.config["standby_cluster"]
        patroni.hold_as_standby(plan, SITE)
    assert scope.config["standby_cluster"] == followed
    assert len(scope.patches) == 1


def test_a_released_site_is_a_primary_cluster_again(plan, scope):
    before = dict(scope.config)
    with answering(scope, *scope.names):
        patroni.hold_as_standby(plan, SITE)
        assert patroni.lock_holder(plan, SITE) == scope.names[0]
        patroni.release(plan, SITE)
    assert scope.config == before


def test_a_site_whose_nodes_are_silent_cannot_be_told(plan):
    with pytest.raises(Transient, match="no Patroni node of us-east-1 answers"):
        patroni.hold_as_standby(plan, SITE)


@pytest.mark.parametrize(("status", "kind"), [(409, Transient), (503, Permanent), (401, Permanent)])
def test_a_change_that_is_not_taken_is_an_error(plan, scope, status, kind):
    scope.refusing = status
    with answering(scope, *scope.names), pytest.raises(kind):
        patroni.hold_as_standby(plan, SITE)
    assert "standby_cluster" not in scope.config


def test_the_plans_etcd_keeps_the_record_of_the_other_sites(plan):
    assert patroni._record(plan, "us-west-2") is patroni_etcd
    assert patroni._record(plan, SITE) is patroni_rest


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1}, {}, {"a": None}),
        ({}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": None}}),
        ({"a": {"b": 1}}, {"a": 2}, {"a": 2}),
    ],
)
def test_a_patch_makes_one_configuration_of_the_other(before, after, patch):
    assert patroni_rest.merge_patch(before, after) == patch


# what the nodes show


def test_the_nodes_of_a_primary_cluster_show_who_writes(plan, scope, site):
    with site(*scope.names):
        seen = look_at_nodes(plan, SITE)
    assert writers(seen) == (scope.names[0],)
    assert state_of(seen) == "changing"


def test_a_held_site_is_proven_with_every_node_and_not_with_one_silent(plan, scope, site):
    scope.config["standby_cluster"] = {"host": "localhost", "port": 1}
    with site(*scope.names):
        assert state_of(look_at_nodes(plan, SITE)) == "proven"
    with site(*scope.names[:2]):
        assert state_of(look_at_nodes(plan, SITE)) == "unknown"


def test_a_member_that_the_plan_does_not_have_is_unknown(plan, scope, site):
    scope.config["standby_cluster"] = {"host": "localhost", "port": 1}
    scope.extra = ["postgres-of-somebody"]
    with site(*scope.names):
        assert state_of(look_at_nodes(plan, SITE)) == "unknown"


# the fence


def test_a_site_that_answers_is_fenced_by_its_own_patroni(plan, scope, site, records, incident):
    with site(*scope.names):
        fence = tasks.fence.fence.fn(plan, incident)
    assert fence.proven
    assert [attempt.outcome for attempt in fence.attempts] == ["proved"]
    assert scope.config["standby_cluster"]["port"] == 1


@pytest.mark.usefixtures("records")
def test_a_primary_that_does_not_obey_is_no_proof(plan, scope, site, incident, monkeypatch):
    monkeypatch.setattr(tasks.fence, "_patience_s", lambda _: 1)
    scope.stubborn = {scope.names[2]}
    with site(*scope.names), pytest.raises(Unproven, match="takes writes"):
        tasks.fence.fence.fn(plan, incident)


def test_a_conflict_is_tried_again(plan, scope, site, records, incident):
    taken = scope.answer

    def once(name, method, *rest):
        scope.refusing = 409 if method == "PATCH" and len(scope.patches) < 2 else 0
        return taken(name, method, *rest)

    scope.answer = once
    with site(*scope.names):
        assert tasks.fence.fence.fn(plan, incident).proven
    assert len(scope.patches) == 3


def test_a_command_that_proves_is_proof_and_ends_the_trying(tmp_path, records, databases, incident):
    log = tmp_path / "log"
    plan = plan_with_own_dcs(
        tmp_path,
        [
            command("security-group", f"echo group {{site}} >>{log}; exit 7"),
            command("route", f"echo route {{site}} >>{log}"),
            command("power", f"echo power {{site}} >>{log}; echo all stopped", proves=True),
            command("never", f"echo never >>{log}", proves=True),
        ],
    )
    fence = tasks.fence.fence.fn(plan, incident)
    assert fence.proven
    assert [(each.name, each.outcome) for each in fence.attempts[1:]] == [
        ("security-group", "failed"),
        ("route", "done"),
        ("power", "proved"),
    ]
    assert log.read_text().splitlines() == ["group us-east-1", "route us-east-1", "power us-east-1"]
    assert "all stopped" in fence.proof


@pytest.mark.parametrize(
    "commands",
    [
        [],
        [command("route", "exit 0")],
        [command("power", "echo still running >&2; exit 1", proves=True)],
        [command("power", "sleep 5", proves=True, timeout="1 second")],
        [{"name": "power", "command": "there-is-no-such-program", "proves": True, "timeout": "1 second"}],
        [{"name": "power", "command": "/etc/passwd", "proves": True, "timeout": "1 second"}],
    ],
)
def test_a_silent_site_without_a_proving_command_that_succeeds_is_not_proven(
    tmp_path, records, databases, incident, commands
):
    plan = plan_with_own_dcs(tmp_path, commands)
    with pytest.raises(Unproven, match="nothing proves that us-east-1") as told:
        tasks.fence.fence.fn(plan, incident)
    assert "--override-fence" in told.value.hint
    assert "proved" not in records["fence-attempts.json"]


def test_what_a_command_says_is_kept_without_secrets(plan, monkeypatch):
    monkeypatch.setattr(
        "tasks.clients.fence_commands.masker", lambda _: lambda text: text.replace("hunter2", "***")
    )
    said = FenceCommand.model_validate(command("power", "echo key hunter2; echo key hunter2 >&2"))
    assert run_fence_command(plan, SITE, said) == "key ***"
    failed = FenceCommand.model_validate(command("power", "echo key hunter2 >&2; exit 1"))
    with pytest.raises(Permanent) as told:
        run_fence_command(plan, SITE, failed)
    assert "hunter2" not in str(told.value)


def test_where_secrets_cannot_be_read_nothing_of_it_is_kept(plan):
    said = FenceCommand.model_validate(command("power", "echo key hunter2"))
    assert run_fence_command(plan, SITE, said) == "***"


# the commander's word


@pytest.fixture
def quiet(monkeypatch):
    """Nobody is told."""
    told = []

    class Notify:
        @staticmethod
        def submit(_plan, _incident, stage, **_):
            told.append(stage)
            return type("Future", (), {"wait": lambda self: None})()

    monkeypatch.setattr("flows.fence_site.notify", Notify)
    return told


WORLD = {}


def fenced_in_a_flow(override=""):
    """The flow's own fence, with no Prefect server."""
    return run(f"{__name__}.fences", {"override": override})


@flow(persist_result=False)
def fences(override: str = ""):
    return fence_site(WORLD["plan"], WORLD["incident"], override)


@pytest.fixture
def lost(plan, incident, records, databases, quiet):
    """A silent site, of which nothing is proven."""
    WORLD.update(plan=plan, incident=incident)
    return records


def test_without_a_server_nothing_goes_on_and_the_hint_says_how(lost, quiet):
    with pytest.raises(Unproven) as told:
        fenced_in_a_flow()
    assert "dr incident resume inc-1 --override-fence" in told.value.hint
    assert quiet == ["failed"]
    assert "fence-override.json" not in lost


@pytest.mark.parametrize(
    "statement", ["us-east-1 is fine", "I, ada-lindqvist, know", "I, mallory, say us-east-1"]
)
def test_a_statement_that_is_no_override_changes_nothing(lost, statement):
    with pytest.raises(Refused):
        fenced_in_a_flow(statement)
    assert "fence-override.json" not in lost


def test_a_commanders_word_goes_on_and_is_on_record(lost):
    fence = fenced_in_a_flow(STATEMENT)
    assert (fence.proven, fence.overridden_by, fence.statement) == (False, "ada-lindqvist", STATEMENT)
    assert [each.name for each in fence.attempts] == ["Patroni's REST API"]
    assert "ada-lindqvist" in lost["fence-override.json"]


def test_a_resumed_run_stays_unproven_though_the_site_is_stopped_by_then(lost, scope, site):
    fenced_in_a_flow(STATEMENT)
    WORLD["incident"] = WORLD["incident"].model_copy(update={"resumed": True})
    with site(*scope.names):
        again = fenced_in_a_flow()
    assert (again.proven, again.overridden_by) == (False, "ada-lindqvist")


def test_a_word_on_record_is_no_word_where_there_is_proof(lost, scope, site):
    lost["fence-override.json"] = (
        '{"commander": "ada-lindqvist", "statement": "x", "at": "2026-01-01T12:00:00Z"}'
    )
    WORLD["incident"] = WORLD["incident"].model_copy(update={"resumed": True})
    with site(*scope.names):
        assert fenced_in_a_flow().proven


# the return


@pytest.fixture
def elsewhere(monkeypatch, records):
    """The service runs at the other site, and so do its users."""
    now = {"active": "us-west-2", "users": {SITE: 0, "us-west-2": 100}}
    monkeypatch.setattr(tasks.hold, "read_truth", lambda _: (Truth(active=now["active"]), 1))
    monkeypatch.setattr(tasks.hold.traffic, "weights", lambda _: now["users"])
    monkeypatch.setattr(tasks.hold, "_POLL_S", 0.01)
    return now


def test_a_site_that_returns_as_a_primary_is_held_and_seen(plan, scope, site, incident, elsewhere):
    taken = scope.takes_writes
    seen = []

    def writes_at_first(name):
        seen.append(name)
        return name == scope.names[0] if len(seen) <= len(scope.names) else taken(name)

    scope.takes_writes = writes_at_first
    with site(*scope.names):
        held = tasks.hold.hold_returned.fn(plan, incident)
    assert held.primaries == (scope.names[0],)
    assert scope.config["standby_cluster"]["port"] == 1


@pytest.mark.usefixtures("elsewhere")
def test_a_site_with_a_silent_node_is_not_held(plan, scope, site, incident, monkeypatch):
    monkeypatch.setattr(tasks.hold, "_RETURN_S", 0.2)
    with site(*scope.names[:2]), pytest.raises(Permanent, match="us-east-1 is not held"):
        tasks.hold.hold_returned.fn(plan, incident)


def test_the_active_site_is_never_demoted_for_an_old_incident(plan, scope, site, incident, elsewhere):
    elsewhere["active"] = SITE
    with site(*scope.names), pytest.raises(Refused, match="is the active site"):
        tasks.hold.hold_returned.fn(plan, incident)
    assert scope.patches == []


def test_a_site_that_users_reach_is_not_demoted(plan, scope, site, incident, elsewhere):
    elsewhere["users"] = {SITE: 10, "us-west-2": 90}
    with site(*scope.names), pytest.raises(Refused, match="users still reach us-east-1"):
        tasks.hold.hold_returned.fn(plan, incident)
    assert scope.patches == []
