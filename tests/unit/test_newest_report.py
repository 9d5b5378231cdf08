"""A store that was away while a report was completed has an older state of it, which nobody is shown."""

from datetime import timedelta
from pathlib import Path

import pytest
from reports import NOON, report

from tasks import evidence
from tasks import report as writing
from tasks.clients import records
from tasks.clients.objects import Missing
from tasks.errors import Transient
from tasks.facts.incident import Incident
from tasks.plan.load import load_plan

PLAN = load_plan(Path(__file__).parents[2] / "deployments" / "plan.yaml")
NEAREST, OTHER = PLAN.site_of("dr"), PLAN.site_of("archive")
CASE = Incident(
    id="inc-1", service="naas", failed_site=PLAN.site_of("primary"), to_site=NEAREST, reason="no power",
    epoch=1, detected_at=NOON, triggered_at=NOON,
)  # fmt: skip


class Stores:
    """The sites' buckets in memory; one may be away."""

    def __init__(self):
        self.objects, self.away = {}, ""

    def owned(self, _plan, site, *_):
        return Bucket(self, site)


class Bucket:
    def __init__(self, stores, site):
        self.stores, self.site = stores, site

    def put(self, key, data):
        self._reached()[self.site, key] = data

    def get(self, key):
        try:
            return self._reached()[self.site, key]
        except KeyError:
            raise Missing(key) from None

    def _reached(self):
        if self.site == self.stores.away:
            raise Transient(f"{self.site} is away")
        return self.stores.objects


@pytest.fixture
def stores(monkeypatch):
    stores = Stores()
    monkeypatch.setattr(records, "Bucket", stores)
    monkeypatch.setattr(records, "_silent_until", {})
    monkeypatch.setattr(writing, "create_markdown_artifact", lambda **_: None)
    return stores


@pytest.mark.parametrize("away", [NEAREST, OTHER])
def test_the_newest_state_of_a_report_is_read_whoever_missed_it(stores, away):
    writing._publish(PLAN, CASE, report(verdict="as a bound"))
    stores.away = away
    writing._publish(PLAN, CASE, report(verdict="exact"))
    stores.away = ""
    assert evidence.read_report(PLAN, "inc-1").verdict == "exact"


def test_a_state_of_an_earlier_version_is_older_than_any_that_tells(stores):
    told = report(verdict="exact", written_at=NOON - timedelta(days=1))
    stores.objects = {
        (NEAREST, "incidents/inc-1/report.json"): report(verdict="as a bound").model_dump_json().encode(),
        (OTHER, "incidents/inc-1/report.json"): told.model_dump_json().encode(),
    }
    assert evidence.read_report(PLAN, "inc-1").verdict == "exact"


def test_of_states_that_do_not_tell_the_nearest_is_read(stores):
    stores.objects = {
        (site, "incidents/inc-1/report.json"): report(verdict=site).model_dump_json().encode()
        for site in (OTHER, NEAREST)
    }
    assert evidence.read_report(PLAN, "inc-1").verdict == NEAREST


def test_a_damaged_copy_hides_no_good_one(stores):
    stores.objects = {
        (NEAREST, "incidents/inc-1/report.json"): b'{"incident": "in',
        (OTHER, "incidents/inc-1/report.json"): report(verdict="exact").model_dump_json().encode(),
    }
    assert evidence.read_report(PLAN, "inc-1").verdict == "exact"
