"""A standby without its upstream reads what its archive has, however the upstream is gone."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from bare_standby import MUTE, NOBODY, STANDBY, running_pair, segment_end

from tasks.clients import standby
from tasks.clients.standby import look, read_archive
from tasks.clients.walnames import SEGMENT_SIZE, Segment, parse_lsn

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

silent = pytest.mark.parametrize("pair", [MUTE], ids=["is silent"], indirect=True)
PATIENCE_S = 60
SEGMENTS = 3


@pytest.fixture(params=[NOBODY, MUTE], ids=["refuses", "is silent"], scope="module")
def pair(request):
    # The servers' account must reach it.
    with TemporaryDirectory(prefix="pair-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        with running_pair(Path(folder), request.param) as pair:
            yield pair


def replayed():
    return "select pg_last_wal_replay_lsn()::text as lsn"


def read(pair, last, within=PATIENCE_S):
    return read_archive(pair, STANDBY, last, SEGMENT_SIZE, within)


def test_it_reads_to_the_end_of_what_is_there(pair):
    before, known = pair.rows(), look(pair, STANDBY)
    last = pair.put_on_shelf(SEGMENTS)
    pair.bring()
    assert read(pair, last)
    assert pair.rows() == before + 100 * SEGMENTS
    now = look(pair, STANDBY)
    assert parse_lsn(now.position.lsn) == segment_end(last) > parse_lsn(known.position.lsn)
    assert (now.timeline, now.segment_bytes, now.position.in_recovery) == (1, SEGMENT_SIZE, True)


def test_a_segment_that_ends_within_a_record_is_read_though_its_end_is_not_reached(pair):
    last = pair.end_within_a_record()
    pair.bring(but={Segment(1, last.number + 1).name()})
    assert read(pair, last)
    position = parse_lsn(pair.sql(replayed(), STANDBY)["lsn"])
    assert segment_end(last) - SEGMENT_SIZE < position < segment_end(last)


def test_what_is_missing_is_waited_for_no_longer_than_allowed(pair):
    last = pair.put_on_shelf(SEGMENTS)
    pair.bring(but={last.name()})
    began = time.monotonic()
    assert not read(pair, last, within=8)
    assert 8 <= time.monotonic() - began < 20
    pair.bring()
    assert read(pair, last)


@silent
def test_it_reads_nothing_of_a_silent_upstream_unless_it_is_sent_to_its_archive(pair, monkeypatch):
    monkeypatch.setattr(standby, "_ask", lambda *_: None)
    last = pair.put_on_shelf(1)
    pair.bring()
    assert not read(pair, last, within=12)
    monkeypatch.undo()
    assert read(pair, last)


@silent
def test_a_receiver_is_out_of_reach_of_sql(pair):
    """Why the remote shell is needed: if this ever fails, it no longer is."""
    query = (
        "select pg_terminate_backend(pid) as ended from pg_stat_activity where backend_type = 'walreceiver'"
    )
    row = pair.sql(query, STANDBY)
    assert row is not None
    assert not row["ended"]


def test_it_goes_on_to_a_newer_timeline_whose_history_is_there(pair):
    before = pair.rows()
    pair.put_on_shelf(1)
    pair.new_timeline()
    last = pair.put_on_shelf(2)
    pair.bring()
    assert read(pair, last)
    assert pair.rows() == before + 300
    assert look(pair, STANDBY).timeline == last.timeline == 2
