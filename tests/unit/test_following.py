"""What is done while a returned site's nodes are on their way to the active site."""

from types import SimpleNamespace

import pytest

import tasks.following
from tasks.errors import Permanent, Transient

PLAN = SimpleNamespace(sites={"east": SimpleNamespace(running=lambda _: ("a", "b"))})


def member(name, state):
    return SimpleNamespace(name=name, state=state, leads=name == "a")


class Site:
    """A site whose nodes are in the next states whenever half a second went by."""

    def __init__(self, *states):
        self.states, self.now, self.fed, self.freed = states, 0.0, [], 0

    def members(self, *_):
        states = self.states[min(int(self.now / 0.5), len(self.states) - 1)]
        if not states:
            raise Transient("nobody answers")
        return [member(*each) for each in zip(("a", "b"), states, strict=True)]

    def sleep(self, seconds):
        self.now += seconds

    def feed(self, *_):
        self.fed.append(self.now)
        raise Transient("the store is busy")

    def free(self, *_):
        self.freed += 1


@pytest.fixture
def wait(monkeypatch):
    def until(*states):
        site, of = Site(*states), tasks.following
        monkeypatch.setattr(of.patroni, "members", site.members)
        monkeypatch.setattr(of.slots, "free", site.free)
        monkeypatch.setattr(of, "bring_newest_wal", site.feed)
        monkeypatch.setattr(of, "time", SimpleNamespace(monotonic=lambda: site.now, sleep=site.sleep))
        try:
            return site, of.until_streaming(PLAN, "east", "west")
        except Permanent as error:
            return site, error

    return until


WELL = ("streaming", "streaming")


def test_what_streams_soon_is_left_alone(wait):
    site, leader = wait(("starting", "starting"), ("streaming", "starting"), WELL)
    assert (leader, site.fed) == ("a", [])


def test_a_node_that_waits_for_its_first_wal_is_brought_it_again_and_again(wait):
    site, leader = wait(*[("streaming", "starting")] * 26, WELL)
    assert leader == "a"
    assert len(site.fed) == 2
    assert site.fed[1] - site.fed[0] >= 5
    assert site.freed > 0


def test_nothing_is_brought_to_nodes_that_wait_for_something_else(wait):
    site, leader = wait(*[("streaming", "running")] * 26, (), WELL)
    assert (leader, site.fed) == ("a", [])


def test_it_is_told_who_does_not_come(wait):
    site, error = wait(("streaming", "stopped"))
    assert "within 90 s" in str(error)
    assert "b" in error.detail
    assert site.now == pytest.approx(90, abs=1)


def test_a_node_that_is_made_anew_has_half_a_day(wait):
    site, leader = wait(*[("streaming", "creating replica")] * 4000, WELL)
    assert (leader, site.now) == ("a", 2000)
