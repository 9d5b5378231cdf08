"""A standby's rows at an exact position equal those of a copy recovered to it; the primary writes on."""

import subprocess
import threading
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from bare_standby import PRIMARY, STANDBY, running_pair
from waiting import until

from tasks.clients import postgres, standpoint
from tasks.clients.standpoint import standing
from tasks.clients.walnames import Segment, parse_lsn
from tasks.errors import DrError, Permanent, Transient

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

ROWS = 20_000
_TABLES = """
create table orders (id int primary key, item text);
create table "odd ""name" (at timestamptz default now(), note text);
insert into orders select n, repeat('x', 200) from generate_series(1, {rows}) n;
"""


@pytest.fixture(scope="module")
def pair():
    with TemporaryDirectory(prefix="pair-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)  # the servers' account must reach it
        with running_pair(Path(folder), PRIMARY) as pair:
            run(pair, _TABLES.replace("{rows}", str(ROWS)))
            until(lambda: orders(pair, STANDBY) == ROWS)
            yield pair


def run(pair, statements, address=PRIMARY):
    with postgres.connected(pair, address, timeout=60) as connection:
        connection.execute(statements)


def orders(pair, address):
    with suppress(DrError):
        return pair.sql("select count(*) as rows from orders", address)["rows"]


@contextmanager
def writing(pair):
    """Orders are changed, added and removed all the time."""
    over = threading.Event()

    def write():
        number = ROWS
        with postgres.connected(pair, PRIMARY) as connection:
            while not over.is_set():
                number += 1
                connection.execute("insert into orders values (%s, 'new')", [number])
                connection.execute("update orders set item = 'changed' where id = %s", [number % ROWS])
                connection.execute("delete from orders where id = %s", [number - 100])

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(30)


def archived(pair, lsn):
    """Wait until the shelf has the segment that a position lies in, and what begins after it."""
    wanted = Segment.holding(1, parse_lsn(lsn)).name()
    run(pair, "select pg_switch_wal()")
    query = "select coalesce(last_archived_wal, '') as name from pg_stat_archiver"
    until(lambda: pair.sql(query)["name"] >= wanted)


def digests(pair, address, ranges):
    with postgres.connected(pair, address, timeout=60) as connection:
        found = [connection.execute(each.statement.encode()).fetchone() for each in ranges]
    return [(row["rows"], int(row["sum"])) for row in found]


def test_a_copy_recovered_to_the_position_has_the_same_rows(pair):
    base = pair.base("copy")
    told = []
    with writing(pair):
        until(lambda: (orders(pair, STANDBY) or 0) > ROWS)
        with standing(pair, STANDBY, PRIMARY) as point:
            ranges = [each for each in point.ranges() if each.database == "postgres"]
            standby = point.digests(ranges, 0.5, told.append)
            until(lambda: parse_lsn(replayed(pair)) > parse_lsn(point.lsn))  # replay went on meanwhile
    archived(pair, point.lsn)
    with pair.recovered(base, point.lsn) as copy:
        assert digests(pair, copy, ranges) == [(each.rows, each.sum) for each in standby.values()]
        assert {each.table for each in ranges} == {"public.orders", 'public."odd ""name"', "public.rows"}
        assert told == list(range(1, len(ranges) + 1))
        run(pair, "update orders set item = 'other' where id = 7", copy)
        assert digests(pair, copy, ranges) != [(each.rows, each.sum) for each in standby.values()]


def replayed(pair):
    return pair.sql("select pg_last_wal_replay_lsn()::text as lsn", STANDBY)["lsn"]


def test_replay_goes_on_where_the_reader_fails(pair):
    with pytest.raises(ZeroDivisionError), standing(pair, STANDBY, PRIMARY):
        raise ZeroDivisionError
    assert pair.sql("select pg_get_wal_replay_pause_state() as state", STANDBY)["state"] == "not paused"


def weight(session):
    """A backend's niceness, that of its session where this machine weighs sessions, and its turn at disks."""
    process = Path("/proc", str(session.info.backend_pid))
    nice = process.joinpath("stat").read_text().rpartition(")")[2].split()[16]
    group = process / "autogroup"
    disks = subprocess.run(["ionice", "-p", process.name], capture_output=True, text=True, check=True)
    return {nice, *([group.read_text().split()[-1]] if group.exists() else [])}, disks.stdout.strip()


def test_who_reads_stands_back_on_the_host(pair):
    with standing(pair, STANDBY, PRIMARY) as point, postgres.connected(pair, STANDBY) as other:
        assert all(weight(session) == ({"19"}, "idle") for session in point.sessions.values())
        assert weight(other) == ({"0"}, "none: prio 0")


def test_a_primary_is_no_standby(pair):
    with pytest.raises(Permanent, match="is no standby"), standing(pair, PRIMARY, PRIMARY):
        pass


@contextmanager
def impatient(pair):
    """A standby that ends whoever reads at once, where its replay would have to wait."""
    run(pair, "alter system set max_standby_streaming_delay = 0", STANDBY)
    run(pair, "select pg_reload_conf()", STANDBY)
    try:
        yield
    finally:
        run(pair, "alter system reset max_standby_streaming_delay", STANDBY)
        run(pair, "select pg_reload_conf()", STANDBY)


def read_over_a_vacuum(pair):
    with standing(pair, STANDBY, PRIMARY) as point:
        run(pair, "update kept set note = 'newer'")
        run(pair, "vacuum kept")
        run(pair, "insert into kept values (0, 'flushes what the vacuum wrote')")
        [end] = pair.sql("select pg_current_wal_flush_lsn()::text as lsn", PRIMARY).values()
        until(lambda: pair.sql(f"select pg_last_wal_replay_lsn() >= '{end}' as it", STANDBY)["it"])
        return point.digests(point.ranges(), 0, lambda _: None)


def test_the_primary_keeps_the_rows_that_are_read(pair, monkeypatch):
    run(pair, "create table kept as select n, 'new' as note from generate_series(1, 5000) n")
    with impatient(pair):
        assert read_over_a_vacuum(pair)
        monkeypatch.setattr(standpoint, "_kept", lambda *_: nullcontext("0/0"))
        with pytest.raises(Transient, match="conflict with recovery"):
            read_over_a_vacuum(pair)
