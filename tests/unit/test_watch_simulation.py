"""Two real vantages in virtual time: a loss is told in time at every phase; what passes is not declared."""

from itertools import product

import pytest
from watch_simulation import VANTAGES, Simulation
from watch_world import ARCHIVE, DR, PLAN, PRIMARY, RULE, WORLD, Fault, isolation, loss

LOST_AT = 100.0
DETECTION_S = PLAN.high_availability.failover.detection_timeout.total_seconds()
BOUND_S = PLAN.high_availability.failover.quickest.told_within.total_seconds()
PHASES = (0.0, 2.4, 4.9, 5.1, 7.5, 9.99)


@pytest.mark.parametrize("refuses", [True, False])
@pytest.mark.parametrize("exchange_s", [0.0, 4.0])
def test_a_loss_is_told_within_the_bound_at_every_phase_and_declared_when_confirmed(refuses, exchange_s):
    assert BOUND_S <= DETECTION_S
    for number, both in enumerate(product(PHASES, PHASES)):
        phases = dict(zip(VANTAGES, both, strict=True))
        world = Simulation([loss(LOST_AT)], number, refuses=refuses, phases=phases, exchange_s=exchange_s)
        story = world.run(LOST_AT + DETECTION_S + RULE.confirm + 30)
        told, [declared] = min(story.suspected) - LOST_AT, story.declared.values()
        assert 2 * RULE.pace <= told <= BOUND_S, phases
        assert -0.01 <= declared - min(story.suspected) - RULE.confirm <= 2 + exchange_s, phases


def cut(a, b, start=LOST_AT, lasts=43.0):
    return Fault(start, start + lasts, "cut", f"{a} {b}")


def of(kind, target, start=LOST_AT, lasts=60.0):
    return Fault(start, start + lasts, kind, target)


# What happens, and whether the vantages suspect a loss: from outside, some of it looks like one.
PASSING = {
    "GitHub's 43 seconds": (isolation(LOST_AT, LOST_AT + 43), True),
    "a minute's isolation": (isolation(LOST_AT, LOST_AT + 60), True),
    "a site that restarts within a minute": ([of("dead", PRIMARY)], True),
    "one vantage cut off from the site": ([cut(PRIMARY, DR, lasts=600)], False),
    "one vantage cut off from everything": (
        [cut(place, DR, lasts=600) for place in (PRIMARY, ARCHIVE, WORLD)],
        False,
    ),
    "both vantages slow": ([of("slow", DR), of("slow", ARCHIVE)], False),
    "both cut off from a site that lives": ([cut(PRIMARY, DR), cut(WORLD, DR), cut(WORLD, ARCHIVE)], False),
    "the vantages cut off from each other": ([cut(DR, ARCHIVE, lasts=600)], False),
    "a slow minute": ([of("slow", DR)], False),
    "an election": ([of("etcd", "election", lasts=5)], False),
    "a minute without quorum": ([of("etcd", "election")], False),
    "the leader's host restarts": ([of("host", "postgres-primary")], False),
    "the gateway is gone for good": ([of("host", "gateway-east", lasts=900)], False),
    "one vantage is gone, then the site": (
        [of("vantage", DR, lasts=900), of("dead", PRIMARY, 200, 700)],
        False,
    ),
    "two regions are gone": ([of("dead", PRIMARY, lasts=900), of("dead", ARCHIVE, lasts=900)], False),
}


@pytest.mark.parametrize("name", PASSING)
def test_what_passes_or_is_doubtful_is_never_declared(name):
    faults, suspects = PASSING[name]
    for seed in range(5):
        story = Simulation(faults, seed).run(1200)
        assert story.declared == {}
        assert bool(story.suspected) == suspects


def test_the_site_that_is_seen_again_clears_the_suspicion():
    world = Simulation(isolation(LOST_AT, LOST_AT + 43), 1)
    story = world.run(400)
    events = [event for _, _, event, _ in story.told]
    assert events.index("naas-dr.site.suspected") < events.index("naas-dr.site.cleared")
    assert world.suspicion[0] is None
    assert {vantage.watch.standing.verdict for vantage in world.vantages.values()} == {"healthy"}


def test_a_loss_after_one_that_passed_is_declared_as_another():
    faults = [*isolation(LOST_AT, LOST_AT + 43), loss(300)]
    world = Simulation(faults, 1)
    [(key, declared)] = world.run(500).declared.items()
    assert declared > 300 + RULE.confirm
    assert key == world.suspicion[0].key


def test_a_vantage_that_restarts_during_a_loss_delays_the_declaration_and_does_not_prevent_it():
    story = Simulation([loss(LOST_AT), of("vantage", DR, 140, 5)], 1).run(400)
    [declared] = story.declared.values()
    assert 200 <= declared <= 140 + 5 + 30 + RULE.confirm + 10


def found(faults, seconds, seed=1):
    told = Simulation(faults, seed).run(seconds).told
    return {(site, name) for _, site, event, name in told if event == "naas-dr.watch.found"}


def test_the_death_of_a_vantage_is_told_by_the_other():
    assert found([of("vantage", DR, lasts=900)], 200) == {(ARCHIVE, f"vantage {DR}")}


def test_a_vantage_that_is_alone_says_so_instead_of_declaring():
    faults = [of("vantage", DR, lasts=900), of("dead", PRIMARY, 200, 900)]
    assert (ARCHIVE, "alone") in found(faults, 400)


def test_each_vantage_goes_on_without_quorum_and_says_so():
    world = Simulation([of("etcd", "election", lasts=900)], 1)
    story = world.run(400)
    assert {site for _, site, _, name in story.told if name == "etcd"} == set(VANTAGES)
    assert {each.watch.standing.verdict for each in world.vantages.values()} == {"degraded"}


def test_the_world_can_make_simpler_policies_err():
    story = Simulation(isolation(LOST_AT, LOST_AT + 43), 1).run(400)
    assert min(story.controls[name] for name in ("one look", "one vantage", "no confirmation")) > 0
    assert not Simulation([], 1).run(4000).controls.total()
