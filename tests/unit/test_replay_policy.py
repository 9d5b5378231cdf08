"""Which archived WAL a standby lacks, what of it is replayed, and how the report tells what is left."""

from datetime import UTC, datetime

import pytest

from tasks.clients.archive_ahead import Ahead
from tasks.clients.objects import Entry
from tasks.clients.postgres import Position
from tasks.clients.standby import Standby
from tasks.clients.walnames import SEGMENT_SIZE, Segment, Switch, format_lsn, history_name
from tasks.policy.replay import (
    after_promotion,
    later_timelines,
    outcome,
    reach_words,
    waves,
    way_ahead,
)
from tasks.policy.words import replay_words

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HALF = SEGMENT_SIZE // 2


def position(lsn, next_xid=1000):
    return Position(format_lsn(lsn), next_xid, NOON, NOON, 1, in_recovery=True)


def standing(number, offset=HALF, timeline=1):
    """A standby inside a segment, or with no offset just at its beginning."""
    return Standby(position(number * SEGMENT_SIZE + offset), timeline, SEGMENT_SIZE)


def archive(*numbers, timeline=1, histories=(), also=()):
    names = [Segment(timeline, number).name() for number in numbers]
    names += [segment.name() for segment in also]
    names += [history_name(each) for each in histories]
    return Ahead({name: Entry(f"archive/{name}", 1, "etag", NOON) for name in names})


def numbers(way):
    return [segment.number for segment in way.chain]


def find(standby, **archives):
    return way_ahead(standby, archives, {})


@pytest.mark.parametrize("offset", [0, HALF])
def test_a_standby_beyond_every_archive_lacks_nothing(offset):
    way = find(standing(9, offset), north=archive(7, 8), south=archive(6, 7), vault=archive())
    assert (way.chain, way.gap, way.beyond) == ((), None, 0)
    told = outcome(standing(9, offset), position(9 * SEGMENT_SIZE + offset), way, "")
    assert (told.replayed, told.left, told.archived_lsn) == (0, 0, "")
    assert replay_words(told) == "nothing replayed; no archive that answers has more than the standby"


def test_the_segment_it_stands_in_is_read_again_to_its_end():
    assert numbers(find(standing(9), north=archive(8, 9))) == [9]


def test_all_archives_together_make_one_chain_from_where_it_stands():
    way = find(standing(5), north=archive(7, 8), south=archive(4, 5), vault=archive(5, 6))
    assert numbers(way) == [5, 6, 7, 8]
    assert (way.gap, way.beyond, way.timelines) == (None, 0, ())


def test_a_gap_ends_the_chain_and_what_is_beyond_it_is_counted():
    way = find(standing(5), north=archive(5, 6, 8, 9), south=archive(5, 9))
    assert numbers(way) == [5, 6]
    assert (way.gap, way.beyond) == (Segment(1, 7), 2)


def test_a_gap_right_at_the_standby_leaves_nothing_to_replay():
    way = find(standing(5), north=archive(6, 7))
    assert (way.chain, way.gap, way.beyond) == ((), Segment(1, 5), 2)
    told = outcome(standing(5), position(5 * SEGMENT_SIZE + HALF), way, "")
    assert (told.left, told.beyond, told.gap) == (2, 2, "000000010000000000000005")
    assert "NOT REPLAYED: 2 segments known to exist" in replay_words(told)
    assert "no archive that answers has 000000010000000000000005" in replay_words(told)


def test_segments_of_other_sizes_are_named_otherwise():
    size = 64 * 1024 * 1024
    standby = Standby(position(63 * size), 1, size)
    held = [Segment(1, number).name(size) for number in (63, 64)]
    way = way_ahead(standby, {"north": Ahead(dict.fromkeys(held, Entry("k", 1, "e", NOON)))}, {})
    assert [segment.name(size) for segment in way.chain] == held
    assert held[1] == "000000010000000100000000"


def test_a_newer_timeline_that_goes_on_from_the_standby_is_followed():
    north = archive(5, 6, histories=[2], also=[Segment(2, 7), Segment(2, 8)])
    standby = standing(5)
    assert later_timelines(standby, {"north": north}) == [2]
    way = way_ahead(standby, {"north": north}, {2: (Switch(1, 7 * SEGMENT_SIZE + 100),)})
    assert way.chain == (Segment(1, 5), Segment(1, 6), Segment(2, 7), Segment(2, 8))
    assert (way.timelines, way.gap, way.apart) == ((2,), None, ())


def test_what_the_old_timeline_has_beyond_the_switch_is_no_part_of_the_way():
    north = archive(5, 6, 7, 8, histories=[2], also=[Segment(2, 7)])
    way = way_ahead(standing(5), {"north": north}, {2: (Switch(1, 7 * SEGMENT_SIZE + 100),)})
    assert way.chain == (Segment(1, 5), Segment(1, 6), Segment(2, 7))
    assert way.beyond == 0


def test_a_timeline_that_left_before_where_the_standby_is_cannot_be_followed_and_is_told():
    north = archive(5, histories=[2], also=[Segment(2, 5), Segment(2, 6)])
    way = way_ahead(standing(5), {"north": north}, {2: (Switch(1, 5 * SEGMENT_SIZE),)})
    assert numbers(way) == [5]
    assert way.apart == (2,)
    told = outcome(standing(5), position(6 * SEGMENT_SIZE), way, "")
    assert "timeline 2 does not go on from where the standby stands" in replay_words(told)


def test_every_timeline_on_the_way_needs_its_history():
    north = archive(5, also=[Segment(3, 6)])
    history = (Switch(1, 6 * SEGMENT_SIZE + 10), Switch(2, 6 * SEGMENT_SIZE + 20))
    way = way_ahead(standing(5), {"north": north}, {3: history})
    assert way.chain == (Segment(1, 5), Segment(3, 6))
    assert way.timelines == (2, 3)


def test_an_older_timeline_is_no_news():
    standby = standing(5, timeline=2)
    assert later_timelines(standby, {"north": archive(5, 6)}) == []
    assert find(standby, north=archive(5, 6)).chain == ()


def test_waves_are_the_whole_chain_in_order():
    way = find(standing(3), north=archive(*range(3, 43)))
    parts = list(waves(way))
    assert [len(part) for part in parts] == [16, 16, 8]
    assert [segment for part in parts for segment in part] == list(way.chain)


def test_all_replayed_is_told_with_where_from_and_how_far():
    way = find(standing(5), north=archive(5, 6, 7))
    told = outcome(standing(5), position(8 * SEGMENT_SIZE, next_xid=1234), way, "")
    assert (told.from_lsn, told.standby_lsn, told.archived_lsn) == ("0/5800000", "0/8000000", "0/8000000")
    assert (told.replayed, told.left, told.why, told.standby_next_xid) == (3, 0, "", 1234)
    told = told.model_copy(update={"sources": ("north", "vault"), "copied": 2, "seconds": 1.25})
    assert replay_words(told) == (
        "3 segments replayed, 2 of them from north, vault, from 0/5800000 to 0/8000000 in 1.2 s"
    )


@pytest.mark.parametrize(("after", "timeline"), [(7 * SEGMENT_SIZE, 1), (7 * SEGMENT_SIZE + 200, 2)])
def test_the_timeline_that_it_read_into_is_the_one_that_a_promotion_leaves(after, timeline):
    north = archive(5, 6, histories=[2], also=[Segment(2, 7), Segment(2, 8)])
    way = way_ahead(standing(5), {"north": north}, {2: (Switch(1, 7 * SEGMENT_SIZE + 100),)})
    assert outcome(standing(5), position(after), way, "late").standby_timeline == timeline
    assert outcome(standing(5, timeline=3), position(after), find(standing(5)), "").standby_timeline == 3


def test_a_record_that_goes_on_in_the_next_segment_leaves_nothing_behind():
    way = find(standing(5), north=archive(5, 6))
    told = outcome(standing(5), position(7 * SEGMENT_SIZE - 500), way, "")
    assert (told.replayed, told.left) == (2, 0)


@pytest.mark.parametrize(
    ("after", "replayed"),
    [(5 * SEGMENT_SIZE + HALF, 0), (6 * SEGMENT_SIZE, 1), (6 * SEGMENT_SIZE + 9, 2), (7 * SEGMENT_SIZE, 2)],
)
def test_what_a_deadline_leaves_behind_is_counted_and_said_first(after, replayed):
    way = find(standing(5), north=archive(5, 6, 7, 8))
    told = outcome(standing(5), position(after), way, "30 s were over")
    assert (told.replayed, told.left) == (replayed, 4 - replayed)
    assert replay_words(told).startswith(f"NOT REPLAYED: {4 - replayed} segments known to exist; ")
    assert replay_words(told).endswith("; 30 s were over")


def late(after=6 * SEGMENT_SIZE):
    way = find(standing(5), north=archive(5, 6, 7, 9))
    return outcome(standing(5), position(after), way, "30 s were over")


@pytest.mark.parametrize(
    ("fork", "replayed", "left"),
    [
        (6 * SEGMENT_SIZE, 1, 3),
        (6 * SEGMENT_SIZE + 10, 2, 2),
        (7 * SEGMENT_SIZE, 2, 2),
        (8 * SEGMENT_SIZE - 500, 3, 1),
        (8 * SEGMENT_SIZE, 3, 1),
        (12 * SEGMENT_SIZE, 3, 1),
    ],
)
def test_what_postgresql_read_while_it_was_promoted_is_not_left(fork, replayed, left):
    assert (late().replayed, late().left, late().beyond) == (1, 3, 1)
    told = after_promotion(late(), format_lsn(fork))
    assert (told.replayed, told.left) == (replayed, left)


def test_how_far_an_archive_reaches_is_told_in_words():
    assert reach_words(archive(4, 5, 6), standing(5)) == "has WAL to 0/7000000"
    assert reach_words(archive(3, 4), standing(5)) == "has no more than the standby"
    assert reach_words(archive(), standing(5)) == "has no more than the standby"
