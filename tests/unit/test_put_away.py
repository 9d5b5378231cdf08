"""A restored copy that cannot be put away: its error tells what came back, and hides no earlier one."""

import asyncio
from contextlib import nullcontext
from datetime import UTC, datetime

import pytest

from flows import restore_point_in_time as moment
from tasks import restore_database
from tasks.errors import Permanent, Transient
from tasks.facts.point_in_time import Rescued

AT = datetime(2026, 1, 1, tzinfo=UTC)
STUCK = Transient("host 10.0.0.1 cannot be reached", "exit 255", "start it")
BACK = Rescued("naas/public.orders", 7, "naas/public.orders")


class Copy:
    """A place, and what the restored server says."""

    site, host, directory, digests = "east", "pg1", "/dr-moment", None


class Server:
    """Nobody else restores there."""

    claim = nullcontext


def recover(monkeypatch, *, stuck=None, work=lambda *_: [BACK]):
    def put_away(*_, **__):
        if stuck:
            raise stuck

    monkeypatch.setattr(restore_database, "put_away", put_away)
    monkeypatch.setattr(restore_database, "_server", lambda *_: Server)
    for name in ("choose_place", "open_restored"):
        monkeypatch.setattr(moment, name, lambda *_, **__: Copy)
    for name in ("current_plan", "require_moment", "restore_files", "live_digests"):
        monkeypatch.setattr(moment, name, lambda *_: None)
    monkeypatch.setattr(moment, "compare", lambda *_: ())
    monkeypatch.setattr(moment, "swap", work)
    return asyncio.run(moment.restore_point_in_time.fn(AT, "swap", ["orders"]))


def test_the_cleanups_error_tells_which_tables_came_back(monkeypatch):
    with pytest.raises(Transient) as raised:
        recover(monkeypatch, stuck=STUCK)
    assert raised.value.detail == "exit 255; naas/public.orders is back in naas/public.orders"
    assert (raised.value.message, raised.value.hint) == (STUCK.message, STUCK.hint)


def test_the_cleanups_error_does_not_hide_the_works_own(monkeypatch):
    def broken(*_):
        raise Permanent("the live database refused it", "a is back in b", "look at it")

    with pytest.raises(Permanent, match="the live database refused it") as raised:
        recover(monkeypatch, stuck=STUCK, work=broken)
    assert raised.value.detail == (
        "a is back in b; nor was the copy put away: host 10.0.0.1 cannot be reached: exit 255"
    )
    assert raised.value.hint == "look at it"


def test_an_error_that_is_not_ours_stays_what_it_was(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recover(monkeypatch, stuck=STUCK, work=interrupted)


def test_what_came_back_is_told_where_all_goes_well(monkeypatch):
    assert "7 rows are in naas/public.orders" in recover(monkeypatch)
