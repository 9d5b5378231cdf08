"""Archived WAL that some repository has, and the standby has not, is replayed before the promotion."""

import json
import time
from contextlib import contextmanager

import pytest
import yaml
from waiting import until
from wal_planting import Ground, replication_held_back

from infra.lab.network import Namespaces
from tasks.clients import archiver, copies, ledger, patroni
from tasks.clients.objects import Bucket
from tasks.clients.walnames import parse_lsn

pytestmark = [pytest.mark.lab, pytest.mark.fault, pytest.mark.timeout(600), pytest.mark.long]

SEGMENTS = 3
NOTHING_S = 1.0


class World:
    """A lab under load, whose old site archives what reaches nobody else."""

    def __init__(self, lab):
        self.lab, self.plan = lab, lab.plan
        self.old, self.new, self.archive = (lab.plan.site_of(role) for role in ("primary", "dr", "archive"))
        self.ground = Ground(lab)
        self.known = []
        """The acknowledged orders, as they were before each segment ended that is archived."""

    @contextmanager
    def cut_off(self):
        """The standby and all copies stay behind while the old site archives, and until the end."""
        self.lab.dr("lab", "load", "--rate", "25")
        self.take_orders()
        self.end_segment()
        until(lambda: all(not self.lacks(site) for site in (self.new, self.archive)))
        with self.ground.pulls_held(), replication_held_back(self.lab, self.old, self.new):
            for _ in range(SEGMENTS):
                self.take_orders()
                self.known.append(ledger.acknowledged(self.plan))
                self.end_segment()
            self.take_orders()
            standby = patroni.leader(self.plan, self.new).host
            assert all(ledger.missing(self.plan, standby, known) for known in self.known)
            yield

    def take_orders(self, count=5):
        before = ledger.acknowledged(self.plan) or set()
        until(lambda: len((ledger.acknowledged(self.plan) or set()) - before) >= count)

    def end_segment(self):
        host = self.ground.node.host
        ended = archiver.switch_wal(self.plan, host)
        until(lambda: archiver.primary_row(self.plan, host)["last_archived_wal"] >= ended)

    def lacks(self, site):
        """What the old site has archived and another site has not."""
        known = {each.key for each in self.ground.segments(site)}
        return [each for each in self.ground.segments(self.old) if each.key not in known]

    def fail_over(self):
        """Fail over; the report, and the acknowledged orders that are gone."""
        self.lab.dr("run", "fail-over", "--param", "reason=lost", site=self.new)
        self.lab.dr("lab", "load", "--stop")
        told = json.loads(self.lab.dr("report", "latest", "--json"))
        print(told["replay"], told["rpo"], told["rto_seconds"])  # noqa: T201 - evidence, shown with -s
        leader = patroni.leader(self.plan, self.new).host
        missing = ledger.missing(self.plan, leader, ledger.acknowledged(self.plan))
        assert told["ledger"]["missing"] == len(missing)
        assert told["rpo"]["lost_transactions"] >= len(missing)
        return told, missing


def assert_all_replayed(told, source):
    replay = told["replay"]
    assert (replay["sources"], replay["left"], replay["gap"], replay["why"]) == ([source], 0, "", "")
    assert replay["copied"] == SEGMENTS
    assert replay["replayed"] >= SEGMENTS
    assert parse_lsn(replay["standby_lsn"]) > parse_lsn(replay["from_lsn"])
    promoted = next(step["result"] for step in told["steps"] if step["name"] == "promote PostgreSQL")
    assert promoted["next_xid"] >= replay["standby_next_xid"]


def test_a_standby_that_is_not_behind_has_nothing_to_replay(labs):
    world = World(labs.fresh("loopback"))
    world.lab.dr("lab", "load", "--rate", "25")
    time.sleep(3)
    world.lab.dr("lab", "break", world.old)
    told, _ = world.fail_over()
    replay = told["replay"]
    assert (replay["copied"], replay["replayed"], replay["left"], replay["sources"]) == (0, 0, 0, [])
    assert "no archive that answers has more" in replay["why"]
    assert replay["found"][world.new] == replay["found"][world.archive] == "has no more than the standby"
    assert world.old in replay["found"]
    assert replay["seconds"] < NOTHING_S


def test_what_only_the_store_of_the_lost_databases_has_is_replayed(labs):
    world = World(labs.fresh("loopback"))
    with world.cut_off():
        world.lab.dr("lab", "wipe", world.old)
        told, missing = world.fail_over()
    assert_all_replayed(told, world.old)
    assert not missing & world.known[-1]
    # What was acknowledged afterwards was in nothing that is left.
    assert missing


@pytest.mark.skipif(Namespaces.available() is not None, reason=str(Namespaces.available()))
def test_what_only_the_archive_site_has_is_replayed_though_the_old_site_is_silent(labs):
    world = World(labs.fresh("namespaces"))
    with world.cut_off():
        source, target = Bucket.readable(world.plan, world.old), world.ground.buckets[world.archive]
        for entry in world.lacks(world.archive):
            copies.copy(source, target, entry)
        world.lab.dr("lab", "cut", world.old)
        told, missing = world.fail_over()
    assert_all_replayed(told, world.archive)
    assert not missing & world.known[-1]
    assert missing


def test_what_cannot_be_replayed_in_time_stops_nothing_and_is_told(labs):
    world = World(labs.fresh("loopback"))
    document = yaml.safe_load(world.lab.home.plan_file.read_text())
    document["recovery"]["replay_within"] = "8 seconds"
    world.lab.home.plan_file.write_text(yaml.safe_dump(document, sort_keys=False))
    with world.cut_off():
        spoiled = world.lacks(world.new)[-1]
        bucket = world.ground.buckets[world.old]
        bucket.put(spoiled.key, bucket.get(spoiled.key)[:-1000])
        world.lab.dr("lab", "wipe", world.old)
        told, missing = world.fail_over()
    replay = told["replay"]
    assert (replay["copied"], replay["left"], replay["beyond"]) == (SEGMENTS, 1, 0)
    assert "8 s were over" in replay["why"]
    assert 8 <= replay["seconds"] < 12
    assert not missing & world.known[-2]
    assert missing & world.known[-1]
