"""Whether a standby's WAL ends with the clean stop of its primary: what a planned move waits for."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from bare_standby import PRIMARY, STANDBY, running_pair
from waiting import until

from tasks.clients.postgres import checkpoint, clean_end
from tasks.clients.walnames import parse_lsn

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def whole():
    with TemporaryDirectory(prefix="pair-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)  # the servers' account must reach it
        with running_pair(Path(folder), PRIMARY) as pair:
            caught_up(pair)
            yield pair


@pytest.fixture
def pair(whole):
    yield whole
    whole.start()
    caught_up(whole)


def caught_up(pair):
    """Wait until the standby streams and has replayed what the primary wrote."""
    streams = "select count(*) as standbys from pg_stat_replication where state = 'streaming'"
    until(lambda: pair.sql(streams)["standbys"])
    written = parse_lsn(pair.sql("select pg_current_wal_insert_lsn()::text as lsn")["lsn"])
    replayed = "select pg_last_wal_replay_lsn()::text as lsn"
    until(lambda: parse_lsn(pair.sql(replayed, STANDBY)["lsn"]) >= written)


def known_end(pair):
    """As soon as the standby has replayed it."""
    return parse_lsn(until(lambda: clean_end(pair, STANDBY)))


def test_the_end_is_known_after_a_clean_stop(pair):
    pair.sql("insert into rows values (1) returning n")
    last = pair.stop("fast")
    assert 100 < known_end(pair) - last <= 168  # right behind the record of that checkpoint


def test_a_crash_is_no_end(pair):
    pair.sql("insert into rows values (1) returning n")
    caught_up(pair)
    pair.stop("immediate")
    assert clean_end(pair, STANDBY) is None


def test_a_crash_right_after_a_checkpoint_is_no_end(pair):
    pair.sql("insert into rows values (1) returning n")
    pair.sql("select pg_switch_wal()")
    checkpoint(pair, PRIMARY)
    caught_up(pair)
    pair.stop("immediate")
    assert clean_end(pair, STANDBY) is None


def test_what_comes_after_an_earlier_clean_stop_shows_that_it_is_no_end(pair):
    pair.stop("fast")
    known_end(pair)
    pair.start()
    pair.sql("select pg_logical_emit_message(false, '', '') as lsn")  # as little as can be written
    caught_up(pair)
    pair.stop("immediate")
    assert clean_end(pair, STANDBY) is None


def test_a_primary_itself_tells_none(whole):
    assert clean_end(whole, PRIMARY) is None
