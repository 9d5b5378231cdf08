"""Records in three real stores, of which one may be dead or frozen: what is written is read, and soon."""

import time
from contextlib import contextmanager

import psutil
import pytest
from waiting import until

from infra.lab.processes import frozen
from tasks.clients import records
from tasks.clients.objects import Bucket, Missing
from tasks.errors import Transient

pytestmark = pytest.mark.lab

NEAREST, ARCHIVE, LOST = "south", "vault", "north"
SOON_S = 6


@pytest.fixture
def plan(storage_plan, monkeypatch):
    """The stores' plan, and nothing remembered of other tests."""
    sites = {site.role: name for name, site in storage_plan.sites.items()}
    monkeypatch.setattr(storage_plan, "site_of", sites.__getitem__, raising=False)
    monkeypatch.setattr(records, "_silent_until", {})
    return storage_plan


def silent(plan, site):
    return frozen(psutil.Process(plan.stores[site].process.pid))


@contextmanager
def within(seconds):
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def held(plan, site, key):
    try:
        return Bucket.owned(plan, site).get(key).decode()
    except Missing:
        return None


def test_what_is_written_is_in_every_surviving_store(plan):
    records.write(plan, "whole/a", "one", failed_site=LOST)
    for site in (NEAREST, ARCHIVE):  # one may be late, by a moment
        assert until(lambda s=site: held(plan, s, "whole/a"), SOON_S) == "one"
    assert records.read(plan, "whole/a") == "one"
    assert records.read(plan, "whole/b") is None
    assert records.names(plan, "whole") == ["a"]


def test_the_nearest_store_is_believed_first(plan):
    Bucket.owned(plan, ARCHIVE).put("order/a", b"old")
    Bucket.owned(plan, NEAREST).put("order/a", b"new")
    Bucket.owned(plan, ARCHIVE).put("order/b", b"only here")
    assert records.read(plan, "order/a") == "new"
    assert records.read_all(plan, "order") == ["new", "only here"]
    assert records.names(plan, "order") == ["a", "b"]


@pytest.mark.fault
@pytest.mark.timeout(120)
def test_a_frozen_store_holds_up_nobody_for_long(plan):
    records.write(plan, "frozen/before", "whole")
    with silent(plan, NEAREST):
        with within(SOON_S):
            for number in range(20):
                records.write(plan, f"frozen/{number:02}", str(number), failed_site=LOST)
        with within(SOON_S):
            assert records.read(plan, "frozen/07") == "7"
            assert records.read(plan, "frozen/none") is None
            assert len(records.read_all(plan, "frozen", "0")) == 10
            assert len(records.names(plan, "frozen")) == 21


@pytest.mark.fault
@pytest.mark.timeout(120)
def test_a_store_that_was_silent_is_asked_where_nobody_else_answers(plan, monkeypatch):
    monkeypatch.setattr(records, "_ALL_S", 3.0)
    records.write(plan, "asked/a", "one", failed_site=LOST)
    until(lambda: held(plan, NEAREST, "asked/a"), SOON_S)
    monkeypatch.setitem(records._silent_until, NEAREST, time.monotonic() + 1000)
    with silent(plan, ARCHIVE), silent(plan, LOST):
        assert records.read(plan, "asked/a", failed_site=LOST) == "one"


@pytest.mark.fault
@pytest.mark.timeout(120)
def test_where_no_store_answers_nothing_is_claimed(plan, monkeypatch):
    monkeypatch.setattr(records, "_ALL_S", 3.0)
    with silent(plan, NEAREST), silent(plan, ARCHIVE):
        with pytest.raises(Transient, match="no store takes"):
            records.write(plan, "nobody/a", "one", failed_site=LOST)
        with pytest.raises(Transient, match="no store answers"):
            records.read(plan, "nobody/a", failed_site=LOST)
