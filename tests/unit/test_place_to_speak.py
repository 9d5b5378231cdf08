"""One process speaks for an incident at a time; without etcd, each does."""

import time

import pytest
from memory_etcd import Leases, etcd_of_speakers

from tasks import speaker as module
from tasks.speaker import Silenced, Speaker, speaker

ONE, OTHER = "inc-20261123T110000Z-aaaa", "inc-20261123T120000Z-bbbb"


@pytest.fixture
def etcd(monkeypatch):
    return etcd_of_speakers(monkeypatch)


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_of_two_one_has_the_place_until_it_leaves(plans, etcd):
    late = Speaker(plans.plan)
    with speaker(plans.plan) as first:
        assert first.other(ONE) == first.other(ONE) == ""
        assert "process" in late.other(ONE)
        assert late.other(OTHER) == ""
        assert first.other(OTHER)
    assert late.other(ONE) == ""
    assert not late.lost()


def test_the_place_is_left_whatever_ends_the_speaker(plans, etcd):
    def speak():
        with speaker(plans.plan) as first:
            first.other(ONE)
            raise KeyError

    with pytest.raises(KeyError):
        speak()
    assert (etcd.keys, etcd.leases) == ({}, set())


def test_the_place_of_a_killed_speaker_is_free_once_its_lease_has_ended(plans, etcd):
    Speaker(plans.plan).other(ONE)
    late = Speaker(plans.plan)
    assert late.other(ONE)
    etcd.end(1)
    assert late.other(ONE) == ""


def test_without_etcd_each_speaks_and_asks_once(plans, etcd):
    etcd.down = True
    with speaker(plans.plan) as one, speaker(plans.plan) as other:
        assert [it.other(name) for it in (one, other) for name in (ONE, OTHER)] == [""] * 4
        assert etcd.asked == 2
        one.require()


def test_an_etcd_that_says_nothing_holds_nobody_up(plans, etcd, monkeypatch):
    monkeypatch.setattr(etcd, "grant", lambda _ttl_s: time.sleep(30))
    began = time.monotonic()
    assert Speaker(plans.plan).other(ONE) == ""
    assert time.monotonic() - began < 3


def test_whoever_was_not_told_that_it_has_the_place_sees_that_it_has(plans, etcd, monkeypatch):
    monkeypatch.setattr(etcd, "swap", lambda *given: Leases.swap(etcd, *given) and False)
    assert Speaker(plans.plan).other(ONE) == ""


def test_the_lease_is_kept_while_it_speaks_and_no_longer(plans, etcd, monkeypatch):
    monkeypatch.setattr(module, "_RENEWED_S", 0.02)
    with speaker(plans.plan) as speaks:
        speaks.other(ONE)
        deadline = time.monotonic() + 10
        while etcd.renewed < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert etcd.renewed >= 3
        speaks.require()
    time.sleep(0.1)
    count = etcd.renewed
    time.sleep(0.1)
    assert etcd.renewed == count


def test_who_stood_still_for_longer_than_its_lease_says_no_more(plans, etcd, clock):
    speaks = Speaker(plans.plan)
    speaks.other(ONE)
    etcd.end_all()
    clock.now += 14
    speaks.require()  # nobody else has had the place for so long
    clock.now += 2
    with pytest.raises(Silenced):
        speaks.require()


def test_who_cannot_ask_whether_it_has_the_place_goes_on_until_it_is_told(plans, etcd, clock):
    speaks = Speaker(plans.plan)
    speaks.other(ONE)
    etcd.down = True
    clock.now += 20
    asked = etcd.asked
    for _ in range(3):
        speaks.require()
    assert etcd.asked == asked + 1
    etcd.end_all()
    etcd.down = False
    clock.now += 20
    with pytest.raises(Silenced):
        speaks.require()
