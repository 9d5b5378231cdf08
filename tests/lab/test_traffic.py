"""One contract over HAProxy, Route 53 and Istio, and what each promises beyond it; no lab is needed."""

import threading
import time
import traceback
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import cycle

import httpx
import pytest
from botocore.config import Config
from istio_schemas import misfits
from traffic_edges import ANSWERS, EAST, SECRETS, WEST, changed, running_edge
from waiting import until

from tasks import redirect
from tasks.clients import traffic
from tasks.clients.traffic import istio, route53
from tasks.errors import DrError, Permanent, Refused, Transient
from tasks.facts.incident import Incident
from tasks.plan.traffic import Shift

pytestmark = pytest.mark.lab
AT_ONCE = {WEST: 100}
HOME = {EAST: 100, WEST: 0}


@pytest.fixture(scope="module")
def edges(tmp_path_factory):
    """What the drivers speak to, each started when it is first asked for."""
    with ExitStack() as stack:

        @cache
        def started(name):
            return stack.enter_context(running_edge(name, tmp_path_factory.mktemp(name)))

        def fresh(name):
            edge = started(name)
            edge.reset()
            return edge

        yield fresh


@pytest.fixture(params=["haproxy", "route53", "istio"])
def edge(request, edges):
    return edges(request.param)


@pytest.fixture
def proxy(edges):
    return edges("haproxy")


@pytest.fixture
def dns(edges):
    return edges("route53")


@pytest.fixture
def mesh(edges):
    return edges("istio")


def fails(kind, action, *arguments, match=None):
    """The error that an action raises, in which no secret stands, nor in what Python tells of it."""
    with pytest.raises(DrError, match=match) as raised:
        action(*arguments)
    assert type(raised.value) is kind, raised.value
    told = "".join(traceback.format_exception(raised.value)) + str(raised.value)
    assert not [secret for secret in SECRETS if secret in told]
    return raised.value


# What every driver promises


def test_weights_are_those_that_were_set_and_users_follow(edge):
    for share in (1, 10, 50, 100, 30, 0):
        traffic.move(edge.plan, {EAST: 100 - share, WEST: share})
        assert traffic.weights(edge.plan) == {EAST: 100 - share, WEST: share}
        assert edge.truth() == pytest.approx({EAST: 100 - share, WEST: share}, abs=edge.noise(share))


def test_a_site_that_is_not_named_gets_nobody(edge):
    traffic.move(edge.plan, AT_ONCE)
    assert traffic.weights(edge.plan) == {EAST: 0, WEST: 100}
    traffic.move(edge.plan, {EAST: 100})
    assert traffic.weights(edge.plan) == HOME


def test_states_tell_who_serves_and_who_is_out(edge):
    for to, out in ((WEST, EAST), (EAST, WEST)):
        traffic.move(edge.plan, {to: 100})
        states = traffic.states(edge.plan)
        assert states[to].startswith("UP")
        assert states[out] == "MAINT"
    traffic.move(edge.plan, {EAST: 50, WEST: 50})
    assert all(state.startswith("UP") for state in traffic.states(edge.plan).values())


def test_the_same_move_again_is_no_change(edge):
    for _ in range(3):
        traffic.move(edge.plan, {EAST: 90, WEST: 10})
    assert traffic.weights(edge.plan) == {EAST: 90, WEST: 10}


@pytest.mark.parametrize(
    "wrong",
    [
        {}, {EAST: 99}, {EAST: 50, WEST: 51}, {EAST: 110, WEST: -10}, {EAST: 100, "nowhere": 0},
        {EAST: 0, "eu-west-1": 100},
    ],
    ids=str,
)  # fmt: skip
def test_wrong_weights_are_refused_and_touch_nothing(edge, wrong):
    traffic.move(edge.plan, HOME)
    error = fails(Refused, traffic.move, edge.plan, wrong, match="cannot be moved so")
    assert f"{EAST}, {WEST} that sum to 100" in error.hint
    assert traffic.weights(edge.plan) == HOME


def test_silence_passes(edge):
    silent = edge.silent()
    fails(Transient, traffic.weights, silent, match="does not")
    fails(Transient, traffic.move, silent, AT_ONCE, match="does not")


def test_a_refusal_does_not_pass(edge):
    with edge.refusing() as plan:
        fails(Permanent, traffic.move, plan, AT_ONCE)


def test_only_resolvers_keep_users_for_a_while(edge):
    assert traffic.settle_s(edge.plan) == (30 if edge.name == "route53" else 0)


# HAProxy


def test_all_users_are_moved_in_milliseconds(proxy):
    took = []
    for to in (WEST, EAST) * 10:
        began = time.monotonic()
        traffic.move(proxy.plan, {to: 100})
        took.append(time.monotonic() - began)
        assert httpx.get(proxy.plan.service.endpoint.url, trust_env=False).text == to
    assert sorted(took)[10] < 0.02


@pytest.fixture
def held(proxy):
    """A request to a site that is under way."""
    proxy.gateways[EAST].release.clear()
    proxy.gateways[EAST].holds.clear()
    ended = []

    def ask():
        try:
            ended.append(
                httpx.get(f"{proxy.plan.service.endpoint.url}/held", timeout=15, trust_env=False).text
            )
        except httpx.HTTPError as error:
            ended.append(type(error).__name__)

    thread = threading.Thread(target=ask)
    thread.start()
    assert proxy.gateways[EAST].holds.wait(10)
    yield thread, ended
    proxy.gateways[EAST].release.set()
    thread.join()


def test_sessions_of_a_site_that_is_left_end_with_the_move(proxy, held):
    thread, ended = held
    traffic.move(proxy.plan, AT_ONCE)
    thread.join(3)
    assert ended == ["RemoteProtocolError"]


def test_sessions_of_a_site_that_keeps_some_users_go_on(proxy, held):
    thread, ended = held
    traffic.move(proxy.plan, {EAST: 50, WEST: 50})
    thread.join(1)
    assert ended == []
    proxy.gateways[EAST].release.set()
    thread.join(3)
    assert ended == [EAST]


def test_the_target_is_ready_whatever_its_last_check_said(proxy):
    traffic.move(proxy.plan, AT_ONCE)
    proxy.gateways[WEST].healthy = False
    try:
        until(lambda: traffic.states(proxy.plan)[WEST] == "DOWN", seconds=20)
        assert traffic.weights(proxy.plan)[WEST] == 100, "what was asked for, served or not"
        traffic.move(proxy.plan, AT_ONCE)
        assert traffic.states(proxy.plan)[WEST].startswith("UP")
    finally:
        proxy.gateways[WEST].healthy = True


# Route 53


def weighted(site, weight, **more):
    answer = {"ResourceRecords": [{"Value": ANSWERS[site]}]}
    return {"SetIdentifier": site, "Weight": weight} | answer | more


def test_weights_of_others_are_read_as_shares(dns):
    dns.put(weighted(EAST, 3), weighted(WEST, 1))
    assert traffic.weights(dns.plan) == {EAST: 75, WEST: 25}
    dns.put(weighted(EAST, 0), weighted(WEST, 0))
    assert traffic.weights(dns.plan) == {EAST: 50, WEST: 50}, "all zero is all alike"
    dns.put()
    assert traffic.weights(dns.plan) == {EAST: 0, WEST: 0}


def test_a_move_is_one_change_with_the_plans_answers_and_time_to_live(dns):
    dns.put(weighted(EAST, 100, TTL=3600), weighted(WEST, 0, HealthCheckId="abc"))
    traffic.move(dns.plan, AT_ONCE)
    assert len([path for method, path, _ in dns.requests if method == "POST"]) == 1
    east, west = sorted(dns.record_sets(), key=lambda each: each["SetIdentifier"])
    assert (east["TTL"], west["TTL"], east["Weight"], west["Weight"]) == (30, 30, 0, 100)
    assert west["HealthCheckId"] == "abc"


def test_a_move_ends_when_every_server_knows_it(dns, monkeypatch):
    monkeypatch.setattr(route53, "_POLL_S", 0.01)
    dns.pending = 3
    traffic.move(dns.plan, AT_ONCE)
    assert dns.pending == 0
    monkeypatch.setattr(route53, "_SYNC_S", 0.1)
    dns.pending = 1000
    fails(Transient, traffic.move, dns.plan, AT_ONCE, match="not all of Route 53's servers")


@pytest.mark.parametrize(
    ("failing", "kind"),
    [
        ((400, "Throttling"), Transient),
        ((400, "PriorRequestNotComplete"), Transient),
        ((500, "InternalError"), Transient),
        ((503, "ServiceUnavailable"), Transient),
        ((403, "AccessDenied"), Permanent),
        ((403, "SignatureDoesNotMatch"), Permanent),
        ((403, "InvalidClientTokenId"), Permanent),
    ],
)
def test_what_passes_is_told_from_what_does_not(dns, failing, kind):
    dns.failing = failing
    error = fails(kind, traffic.move, dns.plan, AT_ONCE, match="api.example.com")
    assert failing[1] in error.detail


def test_a_slow_route53_is_given_up(dns, monkeypatch):
    monkeypatch.setattr(route53, "Config", lambda **given: Config(**given | {"read_timeout": 0.2}))
    dns.delay = 1
    fails(Transient, traffic.weights, dns.plan, match="does not move")


@pytest.mark.parametrize(
    "other",
    [
        {"ResourceRecords": [{"Value": "203.0.113.9"}], "SetIdentifier": "elsewhere", "Weight": 5},
        {"ResourceRecords": [{"Value": "203.0.113.9"}]},
    ],
    ids=["another answer", "no routing"],
)
def test_a_record_that_is_not_the_plans_is_left_alone(dns, other):
    dns.put(other)
    before = dns.record_sets()
    fails(Permanent, traffic.move, dns.plan, AT_ONCE, match="not as the plan has it")
    fails(Permanent, traffic.weights, dns.plan, match="not as the plan has it")
    assert dns.record_sets() == before


def test_answers_of_a_failover_record_change_places_with_their_health_checks(dns):
    plan = dns.with_route53(routing="failover")
    for site, role, check in ((EAST, "PRIMARY", "of-east"), (WEST, "SECONDARY", "of-west")):
        record = {"SetIdentifier": role[:3], "Failover": role, "HealthCheckId": check}
        records = [*dns.record_sets(), record | {"ResourceRecords": [{"Value": ANSWERS[site]}]}]
        dns.put(*records)
    assert traffic.weights(plan) == HOME
    traffic.move(plan, AT_ONCE)
    assert traffic.weights(plan) == {EAST: 0, WEST: 100}
    found = {each["Failover"]: each for each in dns.record_sets()}
    told = {
        role: (each["SetIdentifier"], each["ResourceRecords"][0]["Value"], each["HealthCheckId"])
        for role, each in found.items()
    }
    assert told == {
        "PRIMARY": ("PRI", ANSWERS[WEST], "of-west"), "SECONDARY": ("SEC", ANSWERS[EAST], "of-east"),
    }  # fmt: skip
    fails(Refused, traffic.move, plan, {EAST: 50, WEST: 50}, match="all users to one site")
    assert traffic.weights(plan) == {EAST: 0, WEST: 100}


def test_a_failover_record_is_made_where_there_is_none(dns):
    plan = dns.with_route53(routing="failover")
    traffic.move(plan, AT_ONCE)
    assert traffic.weights(plan) == {EAST: 0, WEST: 100}


# Istio


def test_a_change_by_somebody_else_is_never_overwritten(mesh):
    api = mesh.api
    api.meanwhile = lambda: api.change({"metadata": {"annotations": {"by": "another"}}})
    fails(Transient, traffic.move, mesh.plan, AT_ONCE, match="does not serve")
    assert mesh.truth() == HOME
    api.meanwhile = None
    traffic.move(mesh.plan, AT_ONCE)
    assert api.object["metadata"]["annotations"] == {"by": "another"}
    assert mesh.truth() == {EAST: 0, WEST: 100}
    assert all(patch["metadata"]["resourceVersion"] for patch in api.patches)


def test_nothing_but_weights_is_changed(mesh):
    before = mesh.api.object
    [rule] = before["spec"]["http"]
    traffic.move(mesh.plan, AT_ONCE)
    [after] = mesh.api.object["spec"]["http"]
    assert {key: after[key] for key in after if key != "route"} == {k: rule[k] for k in rule if k != "route"}
    assert [each["destination"] for each in after["route"]] == [each["destination"] for each in rule["route"]]
    assert mesh.api.object["spec"]["hosts"] == before["spec"]["hosts"]


def test_what_is_written_fits_istios_own_schema(mesh):
    for share in (1, 10, 50, 100):
        traffic.move(mesh.plan, {EAST: 100 - share, WEST: share})
        assert misfits(mesh.api.object) == []


@pytest.mark.parametrize(
    ("failing", "kind"), [(401, Permanent), (403, Permanent), (404, Permanent), (422, Permanent),
                          (409, Transient), (429, Transient), (500, Transient), (503, Transient)],
)  # fmt: skip
def test_each_status_passes_or_does_not_and_an_echoed_token_is_masked(mesh, failing, kind):
    mesh.api.failing = failing
    error = fails(kind, traffic.move, mesh.plan, AT_ONCE, match="naas-api-retry-policy")
    assert str(failing) in error.detail
    assert "Bearer ***" in error.detail


def test_a_slow_api_is_given_up(mesh, monkeypatch):
    monkeypatch.setattr(istio, "_TIMEOUT", httpx.Timeout(0.2))
    mesh.api.delay = 1
    fails(Transient, traffic.weights, mesh.plan, match="does not answer")


@pytest.mark.parametrize("text", ["planted.kubernetes.token\nX-Evil: 1", "planted.kubernetes.tokén", "a b"])
def test_what_is_no_token_is_never_sent_nor_told(mesh, text):
    (mesh.plan.folder / "other_token").write_text(text)
    plan = mesh.with_istio(token="file:other_token")
    fails(Permanent, traffic.weights, plan, match="no token")


def test_a_token_that_was_replaced_is_read_anew(mesh):
    token = mesh.plan.folder / "token"
    before = token.read_text()
    try:
        token.write_text("another.planted.kubernetes.token")
        fails(Permanent, traffic.weights, mesh.plan, match="refuses")
        mesh.api.token = "another.planted.kubernetes.token"
        assert traffic.weights(mesh.plan) == HOME
    finally:
        token.write_text(before)
        mesh.api.token = before.strip()


def test_only_the_plans_authority_is_trusted(mesh, tmp_path):
    (mesh.plan.folder / "none.crt").write_text("no certificate")
    plan = mesh.with_istio(ca_certificate="file:none.crt")
    fails(Permanent, traffic.weights, plan, match="no certificate")
    with running_edge("istio", tmp_path) as other:
        (mesh.plan.folder / "other.crt").write_text((other.plan.folder / "ca.crt").read_text())
    plan = mesh.with_istio(ca_certificate="file:other.crt")
    fails(Permanent, traffic.move, plan, AT_ONCE, match="not who it should be")


def test_a_virtual_service_without_the_plans_sites_is_refused(mesh):
    api = mesh.api
    whole = api.object["spec"]["http"]
    alone = [{"route": [{"destination": {"host": "naas-api-service"}}]}]
    half = [{"route": whole[0]["route"][:1]}]
    twice = [{"route": [*whole[0]["route"], whole[0]["route"][0]]}]
    try:
        for wrong in (alone, half, twice, []):
            api.change({"spec": {"http": wrong}})
            fails(Permanent, traffic.move, mesh.plan, AT_ONCE, match="does not route to the plan's sites")
            assert api.object["spec"]["http"] == wrong
    finally:
        api.change({"spec": {"http": whole}})


def test_every_rule_to_the_sites_is_moved_and_no_other(mesh):
    api = mesh.api
    whole = api.object["spec"]["http"]
    admin = {"match": [{"uri": {"prefix": "/admin"}}], "route": [{"destination": {"host": "admin"}}]}
    beta = {"match": [{"uri": {"prefix": "/beta"}}], "route": [dict(each) for each in whole[0]["route"]]}
    try:
        api.change({"spec": {"http": [admin, beta, *whole]}})
        traffic.move(mesh.plan, {EAST: 60, WEST: 40})
        assert traffic.weights(mesh.plan) == {EAST: 60, WEST: 40}
        found = api.object["spec"]["http"]
        assert found[0] == admin
        assert [[each["weight"] for each in rule["route"]] for rule in found[1:]] == [[60, 40], [60, 40]]
        found[1]["route"][0]["weight"], found[1]["route"][1]["weight"] = 100, 0
        fails(Permanent, traffic.weights, mesh.plan, match="differently")
        traffic.move(mesh.plan, HOME)
        assert traffic.weights(mesh.plan) == HOME
    finally:
        api.change({"spec": {"http": whole}})


# In steps


def quick(limit="0.2", steps=("0.1", "0.5", "1"), seconds=1):
    return Shift(
        steps=tuple(map(Decimal, steps)), pause=timedelta(seconds=seconds), error_limit=Decimal(limit)
    )


@pytest.fixture
def moves(proxy, monkeypatch):
    """The weights of every move that a test makes; users are at home before it."""
    made, move = [], traffic.move
    monkeypatch.setattr(redirect, "_TRY_S", 0.1)
    monkeypatch.setattr(traffic, "move", lambda plan, to: (made.append(to.get(WEST, 0)), move(plan, to))[1])
    return made


def test_a_good_site_gets_all_users_step_by_step(proxy, moves):
    tries = []
    redirect.move_in_steps(proxy.plan, WEST, quick(), lambda: tries.append(1) or True)
    assert moves == [10, 50, 100]
    assert traffic.weights(proxy.plan) == {EAST: 0, WEST: 100}
    assert len(tries) >= 3 * 5


@pytest.mark.parametrize(("bad_from", "stands"), [(10, 0), (50, 10), (100, 50)])
def test_users_return_to_the_last_weights_that_held(proxy, moves, bad_from, stands):
    def probe():
        return traffic.weights(proxy.plan)[WEST] < bad_from

    with pytest.raises(Permanent, match=f"does not hold {bad_from}%") as raised:
        redirect.move_in_steps(proxy.plan, WEST, quick(), probe)
    assert traffic.weights(proxy.plan) == {EAST: 100 - stands, WEST: stands}
    assert f"'{WEST}': {stands}" in raised.value.detail


def test_users_leave_a_site_for_good_that_does_not_recover(proxy, moves):
    """At 100% it breaks and stays broken: what held before holds no more."""
    broken = []

    def probe():
        broken.extend([1] if traffic.weights(proxy.plan)[WEST] == 100 else [])
        return not broken

    with pytest.raises(Permanent, match="does not hold 100%"):
        redirect.move_in_steps(proxy.plan, WEST, quick(), probe)
    assert moves == [10, 50, 100, 50, 10, 0]
    assert traffic.weights(proxy.plan) == HOME


def test_a_few_failures_within_the_limit_stop_nothing(proxy, moves):
    outcomes = cycle([True] * 9 + [False])
    redirect.move_in_steps(proxy.plan, WEST, quick(), lambda: next(outcomes))
    assert moves == [10, 50, 100]


def test_a_site_that_does_not_answer_has_failed_the_try(proxy, moves):
    def silent():
        raise Transient("nobody answers")

    with pytest.raises(Permanent, match="does not hold 10%"):
        redirect.move_in_steps(proxy.plan, WEST, quick(), silent)
    assert moves == [10, 0]


def test_a_mover_that_is_away_for_a_moment_does_not_end_the_move(proxy, moves, monkeypatch):
    monkeypatch.setattr(traffic, "move", away(traffic.move, 2))
    redirect.move_in_steps(proxy.plan, WEST, quick(), lambda: True)
    assert moves == [10, 50, 100]


def test_a_mover_that_stays_away_leaves_the_last_good_weights(proxy, moves, monkeypatch):
    monkeypatch.setattr(redirect, "_PATIENCE_S", 0.5)
    real = traffic.move

    def refuses_half(plan, to):
        real(plan, to)
        if to.get(WEST) == 50:
            raise Transient("half done")

    monkeypatch.setattr(traffic, "move", refuses_half)
    with pytest.raises(Transient, match="half done"):
        redirect.move_in_steps(proxy.plan, WEST, quick(), lambda: True)
    assert traffic.weights(proxy.plan) == {EAST: 90, WEST: 10}


def away(move, times):
    """A move that fails so many times before it succeeds."""
    left = [1] * times

    def tried(plan, to):
        if left:
            left.pop()
            raise Transient("away")
        return move(plan, to)

    return tried


INCIDENT = Incident(
    id="inc", service="naas-api", failed_site=EAST, to_site=WEST, epoch=1, reason="test",
    detected_at=datetime(2026, 1, 1, tzinfo=UTC), triggered_at=datetime(2026, 1, 1, tzinfo=UTC),
)  # fmt: skip
# The step's own act, without the record that it leaves in the stores.
redirect_traffic = redirect.redirect_traffic.fn.__wrapped__


@pytest.fixture(autouse=True)
def epoch(monkeypatch):
    """The incident holds it; there is no etcd here."""
    monkeypatch.setattr(redirect, "require_epoch", lambda *_: None)


def test_a_dead_site_is_left_at_once_whatever_the_plan_says(proxy, moves):
    found = redirect_traffic(changed(proxy.plan, shift=quick(seconds=60)), INCIDENT, probe=pytest.fail)
    assert moves == [100]
    assert (found.served_by, found.weights, found.settle_s) == (WEST, {EAST: 0, WEST: 100}, 0)
    assert found.states[EAST] == "MAINT"


def test_a_planned_move_is_at_once_unless_steps_are_asked_for(proxy, moves):
    redirect_traffic(proxy.plan, INCIDENT, planned=True)
    assert moves == [100]


@pytest.mark.parametrize("asked_by", ["the plan", "the caller"])
def test_a_planned_move_is_in_steps_where_they_are_asked_for(proxy, moves, asked_by):
    plan = changed(proxy.plan, shift=quick()) if asked_by == "the plan" else proxy.plan
    shift = quick() if asked_by == "the caller" else None
    redirect_traffic(plan, INCIDENT, planned=True, shift=shift)
    assert moves == [10, 50, 100], "an order through the target's own gateway is served"


def test_a_planned_move_watches_what_the_target_does_and_not_what_it_says(proxy, moves):
    """It calls itself healthy and takes no order."""
    proxy.gateways[WEST].takes_orders = False
    with pytest.raises(Permanent, match="does not hold 10%"):
        redirect_traffic(proxy.plan, INCIDENT, planned=True, shift=quick())
    assert moves == [10, 0]
    assert traffic.weights(proxy.plan) == HOME


def test_the_report_says_how_long_resolvers_keep_users(dns):
    found = redirect_traffic(dns.plan, INCIDENT)
    assert (found.served_by, found.settle_s) == (WEST, 30)
