import json
from ipaddress import IPv4Address
from pathlib import Path

import pytest
import yaml

from infra.lab.network import Loopback, Namespaces
from infra.lab.network.addresses import namespace_address, namespace_document, site_addresses
from infra.lab.network.commands import conflicts, guard_metric, namespaces_batch, place_batch, removal_batch
from infra.lab.network.state import State
from infra.lab.network.topology import NONE, WORLD, Hop, Topology, Trouble, Weather, delivers, hops
from tasks.errors import Refused
from tasks.plan.load import load_plan

PLAN = Path(__file__).parents[2] / "deployments" / "plan.yaml"
TOPOLOGY = Topology(
    name="dr-test",
    sites={"north": ("10.1.0.1", "10.9.0.7"), "south": ("10.2.0.1",), "east": ("10.3.0.1",)},
    world=("10.0.0.10",),
    delay_ms=5,
    world_delay_ms=1,
)


def packed(address):
    return IPv4Address(address).packed


def test_a_loopback_address_moves_to_the_namespaces_network():
    assert namespace_address(IPv4Address("127.12.3.255")) == IPv4Address("10.12.3.255")


@pytest.mark.parametrize("address", ["126.255.255.255", "128.0.0.0", "10.1.1.1", "192.0.2.1"])
def test_an_address_that_is_not_loopback_is_refused(address):
    with pytest.raises(Refused, match=address):
        namespace_address(IPv4Address(address))


def test_every_declared_address_of_a_plan_moves_and_nothing_else_changes(tmp_path):
    text = PLAN.read_text()
    plan = load_plan(PLAN)
    moved = tmp_path / "plan.yaml"
    moved.write_text(yaml.safe_dump(namespace_document(yaml.safe_load(text), plan)))
    hosts = [address for addresses in site_addresses(plan).values() for address in addresses]
    for address in [*hosts, str(plan.service.endpoint.address)]:
        for end in ('"', ":"):
            text = text.replace(f"{address}{end}", f"10.{address[4:]}{end}")
    assert yaml.safe_load(moved.read_text()) == yaml.safe_load(text)
    assert "127." not in json.dumps(site_addresses(load_plan(moved)))


def test_text_keeps_addresses_that_the_plan_does_not_declare():
    shell = {"access": {"shell": "ssh -J 127.0.0.1,1127.1.1.11 postgres@{address}", "port": 22}}
    assert namespace_document(shell, load_plan(PLAN)) == shell


def test_a_plan_off_loopback_is_refused():
    plan = load_plan(PLAN)
    endpoint = plan.service.endpoint.model_copy(update={"address": IPv4Address("192.0.2.1")})
    service = plan.service.model_copy(update={"endpoint": endpoint})
    with pytest.raises(Refused, match=r"192\.0\.2\.1"):
        namespace_document({}, plan.model_copy(update={"service": service}))


@pytest.mark.parametrize(
    ("source", "destination", "cuts", "delivered"),
    [
        ("north", "south", {}, True),
        ("north", WORLD, {}, True),
        ("north", "south", {"north": "sites"}, False),
        ("south", "north", {"north": "sites"}, False),
        ("south", "east", {"north": "sites"}, True),
        ("north", WORLD, {"north": "sites"}, True),
        (WORLD, "north", {"north": "sites"}, True),
        ("north", "south", {"north": "everything"}, False),
        ("north", WORLD, {"north": "everything"}, False),
        (WORLD, "north", {"north": "everything"}, False),
        (WORLD, "south", {"north": "everything"}, True),
        ("north", "south", {"north": "sites", "south": "everything"}, False),
    ],
)
def test_a_partition_drops_exactly_what_it_says(source, destination, cuts, delivered):
    assert delivers(source, destination, cuts) is delivered


def test_a_place_reaches_every_address_elsewhere_with_the_latency_between():
    assert hops(TOPOLOGY, "north", NONE) == {
        packed("10.0.0.10"): Hop(WORLD, 0.001),
        packed("10.2.0.1"): Hop("south", 0.005),
        packed("10.3.0.1"): Hop("east", 0.005),
    }
    assert set(hops(TOPOLOGY, WORLD, NONE)) == {
        packed(address) for address in ("10.1.0.1", "10.9.0.7", "10.2.0.1", "10.3.0.1")
    }


def test_a_cut_takes_the_routes_away():
    cut = Trouble(cuts={"north": "sites"})
    assert set(hops(TOPOLOGY, "north", cut)) == {packed("10.0.0.10")}
    assert set(hops(TOPOLOGY, "south", cut)) == {packed("10.0.0.10"), packed("10.3.0.1")}
    assert hops(TOPOLOGY, "north", Trouble(cuts={"north": "everything"})) == {}


def test_bad_lines_count_at_both_ends_and_leave_the_others_alone():
    bad = Trouble(weather={"north": Weather(40, 0.5), "south": Weather(10, 0.5)})
    assert hops(TOPOLOGY, "north", bad) == {
        packed("10.0.0.10"): Hop(WORLD, pytest.approx(0.041), 0.5),
        packed("10.2.0.1"): Hop("south", pytest.approx(0.055), 0.75),
        packed("10.3.0.1"): Hop("east", pytest.approx(0.045), 0.5),
    }
    assert hops(TOPOLOGY, "east", bad)[packed("10.0.0.10")] == Hop(WORLD, 0.001)


def test_a_site_gets_its_addresses_and_exact_routes_from_its_first_one():
    assert place_batch(TOPOLOGY, "north") == [
        "link set lo up",
        "address replace 10.1.0.1/32 dev lo",
        "address replace 10.9.0.7/32 dev lo",
        "link set link0 mtu 65000 up",
        "route replace 10.0.0.10/32 dev link0 src 10.1.0.1",
        "route replace 10.2.0.1/32 dev link0 src 10.1.0.1",
        "route replace 10.3.0.1/32 dev link0 src 10.1.0.1",
    ]


def test_the_machine_itself_gets_nothing_that_outlives_the_link_but_guards():
    assert all("dev dr-test" in line or "link set dr-test" in line for line in place_batch(TOPOLOGY, WORLD))
    guards = [line for line in namespaces_batch(TOPOLOGY, [], []) if "unreachable" in line]
    assert len(guards) == 5
    assert f"route replace unreachable 10.9.0.7/32 metric {guard_metric('dr-test')}" in guards


def test_half_made_namespaces_are_removed_before_they_are_made():
    batch = namespaces_batch(TOPOLOGY, ["dr-test-north"], ["dr-test-north", "dr-test-south"])
    assert batch[:3] == ["netns del dr-test-north", "netns add dr-test-north", "netns add dr-test-south"]


def test_removal_takes_this_labs_guards_only():
    routes = [
        {"type": "unreachable", "dst": "10.1.0.1", "metric": guard_metric("dr-test")},
        {"type": "unreachable", "dst": "10.1.0.2", "metric": guard_metric("dr-other")},
        {"type": "local", "dst": "127.0.0.1", "dev": "lo"},
    ]
    assert removal_batch("dr-test", ["dr-test-north"], routes) == [
        "netns del dr-test-north",
        f"route del unreachable 10.1.0.1 metric {guard_metric('dr-test')}",
    ]


def test_an_address_reached_over_another_device_is_a_conflict():
    routes = [{"dst": "10.2.0.0/16", "dev": "eth0"}, {"dst": "10.3.0.1", "dev": "dr-other"}]
    assert conflicts(TOPOLOGY, routes) == [
        "10.2.0.1 (10.2.0.0/16 dev eth0)",
        "10.3.0.1 (10.3.0.1 dev dr-other)",
    ]


def test_the_default_route_the_labs_own_and_its_guards_are_no_conflict():
    routes = [
        {"dst": "default", "dev": "eth0", "gateway": "192.0.2.1"},
        {"dst": "10.2.0.1", "dev": "dr-test"},
        {"dst": "10.2.0.1", "type": "unreachable", "metric": guard_metric("dr-test")},
        {"dst": "192.0.2.0/24", "dev": "eth0"},
    ]
    assert conflicts(TOPOLOGY, routes) == []


def test_state_reads_back_what_was_recorded(tmp_path):
    state = State(tmp_path / "network")
    assert (state.topology(), state.wanted(), state.applied()) == (None, NONE, NONE)
    wanted = Trouble({"north": "sites"}, {"south": Weather(40, 0.1)})
    state.record(TOPOLOGY)
    state.want(wanted)
    state.confirm(Trouble({"south": "everything"}))
    assert state.topology() == TOPOLOGY
    assert (state.wanted(), state.applied()) == (wanted, Trouble({"south": "everything"}))


@pytest.mark.parametrize("text", ["", "[]", '{"name": "dr-test"}', '{"sites": {}, "world": [], "more": 1}'])
def test_a_record_that_cannot_be_read_is_no_record(tmp_path, text):
    (tmp_path / "topology.json").write_text(text)
    assert State(tmp_path).topology() is None


def test_plain_loopback_has_nothing_to_make_and_refuses_a_cut():
    network = Loopback()
    network.up({"north": ["127.1.0.1"]}, ["127.0.0.10"])
    assert network.prefix("north") == []
    assert not network.is_cut("north")
    with pytest.raises(Refused, match="cannot be cut on plain loopback") as refusal:
        network.cut("north")
    assert refusal.value.hint == "dr lab up --network namespaces"
    network.heal("north")
    network.down()


def test_two_state_directories_give_two_networks(tmp_path):
    first, second = Namespaces.beside(tmp_path / "a"), Namespaces.beside(tmp_path / "b", delay_ms=30)
    assert first.name != second.name
    assert first == Namespaces.beside(tmp_path / "a")
    assert second.delay_ms == 30
    assert first.prefix("north") == ["nsenter", f"--net=/run/netns/{first.name}-north", "--"]


@pytest.mark.parametrize("name", ["", "sixteen-letters-", "a b", "../x", "*"])
def test_a_name_that_no_device_can_have_is_refused(tmp_path, name):
    with pytest.raises(Refused, match="does not name a network"):
        Namespaces(name, tmp_path)


def test_a_network_that_was_never_made_cannot_be_cut(tmp_path):
    with pytest.raises(Refused, match="not up"):
        Namespaces.beside(tmp_path).cut("north")
