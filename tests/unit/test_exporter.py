"""A scrape tells what was measured, and nothing that is not known now."""

import socket
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

sys.path.append(str(Path(__file__).parents[1]))
from ready_sights import held

from deployments.exporter import Exporter, serve
from deployments.measures import PARTS, Measure, catalogue_samples
from deployments.watchers import WATCHERS
from infra.platform.metrics import EXPORTED_BY_OTHERS, MEASURED
from tasks.clients.walnames import Segment
from tasks.errors import Transient
from tasks.facts.archive import Finding
from tasks.facts.backups import Damage, Point, Verified
from tasks.facts.catalogue import Catalogue, Expected, Holding
from tasks.plan.load import load_plan
from tasks.policy.arrival import Newest, Track, Writing, arrived, cold_age
from tasks.policy.catalogue import ANY, judge_all

NOW = datetime(2026, 6, 30, 12, tzinfo=UTC)
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
PLAN = load_plan(Path(__file__).parents[2] / "deployments" / "plan.yaml")
MIB16 = 16 * 1024 * 1024


def samples(*holdings, coverage=(), frozen=""):
    due = [Expected(held.asset, held.site, {ANY: 4 * HOUR}) for held in holdings]
    found = Catalogue(NOW, judge_all(holdings, due, NOW), coverage, frozen, holdings)
    return {
        (metric, *labels.values()): value
        for metric, listed in catalogue_samples(found).items()
        for labels, value in listed
    }


def test_a_healthy_asset_in_numbers():
    point = Point("redis", "here", "p", "snapshot", NOW - HOUR, size=7)
    record = Verified("redis", "here", NOW - 2 * HOUR, "read")
    found = samples(Holding("redis", "here", (point,), verified=record))
    hour_ago = (NOW - HOUR).timestamp()
    assert found["dr_catalogue_state", "redis", "here", "ok"] == 1
    assert found["dr_catalogue_state", "redis", "here", "unknown"] == 0
    assert found["dr_backup_points", "redis", "here"] == 1
    assert found["dr_backup_last_success_timestamp_seconds", "redis", "redis", "here"] == hour_ago
    assert found["dr_backup_size_bytes", "redis", "redis", "here"] == 7
    assert found["dr_verified_timestamp_seconds", "redis", "here"] == hour_ago - 3600
    assert found["dr_verified_damages", "redis", "here"] == 0


def test_of_what_is_unknown_there_is_its_state_only():
    found = samples(Holding("redis", "here", None, "dead"))
    told = {metric for metric, *labels in found if "redis" in labels}
    assert told == {"dr_catalogue_state"}
    assert found["dr_catalogue_state", "redis", "here", "unknown"] == 1
    assert found["dr_catalogue_state", "redis", "here", "ok"] == 0


def test_a_backup_that_is_not_good_or_from_the_future_is_no_success():
    bad = Point("redis", "here", "p", "snapshot", NOW - HOUR, good=False)
    ahead = Point("redis", "here", "q", "snapshot", NOW + HOUR)
    found = samples(Holding("redis", "here", (bad, ahead)))
    assert not [key for key in found if key[0].startswith("dr_backup_last")]


def test_each_variant_of_the_database_is_a_backup_of_its_own():
    points = tuple(
        Point("database", "here", variant, variant, NOW - hours * HOUR)
        for variant, hours in (("full", 9), ("incr", 1), ("long-term", 300))
    )
    found = samples(Holding("database", "here", points))
    ages = {
        key[1]: (NOW.timestamp() - value) / 3600
        for key, value in found.items()
        if key[0] == "dr_backup_last_success_timestamp_seconds"
    }
    assert ages == {"full_backup": 9, "incremental_backup": 1, "archive": 300}


def test_a_month_that_is_set_apart_is_no_further_backup():
    point = Point("long-term/2026-05", "here", "2026-05", "long-term", NOW - HOUR)
    damage = Damage("long-term/2026-05", "here", "x", "flipped")
    record = Verified("long-term/2026-05", "here", NOW, "read", damages=(damage,))
    found = samples(Holding("long-term/2026-05", "here", (point,), verified=record))
    assert found["dr_verified_damages", "long-term/2026-05", "here"] == 1
    assert not [key for key in found if key[0].startswith(("dr_backup_last", "dr_verified_timestamp"))]


def test_coverage_freeze_and_damages_are_told():
    point = Point("redis", "here", "p", "snapshot", NOW - HOUR)
    record = Verified("redis", "here", NOW, "read", damages=(Damage("redis", "here", "x", "flipped"),))
    found = samples(
        Holding("redis", "here", (point,), verified=record),
        coverage=(Finding("a", "critical"), Finding("b", "ok")),
        frozen="incident x is open",
    )
    assert found["dr_coverage_findings", "critical"] == 1
    assert found["dr_coverage_findings", "warning"] == 0
    assert found["dr_expiry_frozen",] == 1
    assert found["dr_verified_damages", "redis", "here"] == 1
    assert found["dr_catalogue_state", "redis", "here", "damaged"] == 1


def test_a_drill_of_one_copy_is_no_success_of_the_whole(monkeypatch):
    whole = held(PLAN, "backup_restoration", ended=NOW - HOUR)
    one = whole.drill.model_copy(update={"copies": whole.drill.copies[:1]})
    narrowed = whole.model_copy(update={"drill": one, "ended": NOW})
    for reports, told in (([whole, narrowed], [(NOW - HOUR).timestamp()]), ([narrowed], [])):
        monkeypatch.setattr("deployments.measures.read_drill_reports", lambda _, them=reports: them)
        found = PARTS["drills"].ask(PLAN).get("dr_drill_last_success_timestamp_seconds", [])
        assert [value for _, value in found] == told


def writing(lsn, seconds=0, timeline=1):
    return Writing(NOW + seconds * SECOND, lsn, timeline, MIB16)


def newest(number, age_s):
    return Newest(Segment(1, number), NOW - age_s * SECOND)


def test_a_repository_that_lacks_only_the_segment_being_written_holds_everything():
    assert arrived(newest(7, 500), writing(8 * MIB16 + 9)) == NOW
    assert arrived(newest(6, 500), writing(8 * MIB16 + 9)) == NOW - 500 * SECOND


def test_the_cold_recovery_point_is_bounded_by_the_archive_timeout_while_one_segment_is_behind():
    minute = timedelta(minutes=1)
    assert cold_age(newest(7, 500), writing(8 * MIB16), minute) == timedelta(0)
    assert cold_age(newest(7, 500), writing(8 * MIB16 + 9), minute) == minute
    assert cold_age(newest(6, 500), writing(8 * MIB16 + 9), minute) == 500 * SECOND


def test_a_standby_is_as_late_as_the_primary_was_last_seen_where_it_is():
    track = Track()
    for seconds, lsn in ((0, 100), (15, 100), (30, 200), (45, 300)):
        track.saw(writing(lsn, seconds))
    assert track.behind(300, None) == timedelta(0)
    assert track.behind(200, None) == 15 * SECOND
    assert track.behind(150, None) == 30 * SECOND, "an idle primary does not make it older"
    assert track.behind(50, NOW - HOUR) == HOUR + 45 * SECOND
    assert track.behind(50, None) == 45 * SECOND
    track.saw(writing(90, 60, timeline=2))
    track.saw(writing(20, 61, timeline=2))
    assert track.behind(20, None) == timedelta(0), "another primary begins a new track"


def test_how_late_a_standby_is_that_has_replayed_no_commit_is_not_known_at_the_first_look():
    track = Track()
    track.saw(writing(100, 0))
    assert track.behind(100, None) == timedelta(0)
    assert track.behind(50, NOW - HOUR) == HOUR
    assert track.behind(50, None) is None
    track.saw(writing(100, 15))
    assert track.behind(50, None) == 15 * SECOND


def scraped(port):
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in families
            for sample in family.samples
        }


class Store:
    """Something measured that can die."""

    def __init__(self):
        self.dead = False

    def ask(self, _plan):
        if self.dead:
            raise Transient("the store does not answer")
        return {"dr_expiry_frozen": [({}, 0.0)]}


@pytest.fixture
def store():
    return Store()


def test_what_is_not_measured_any_more_goes_and_its_age_stays(store):
    exporter = Exporter(PLAN, {"store": Measure(store.ask, 0.05)})
    port = serve(exporter, "127.0.0.1", 0)
    assert scraped(port) == {}, "nothing is known before the first measurement"
    exporter.measure("store")
    assert scraped(port)["dr_expiry_frozen",] == 0
    store.dead = True
    with pytest.raises(Transient):
        exporter.measure("store")
    time.sleep(0.3)
    stale = scraped(port)
    assert ("dr_expiry_frozen",) not in stale
    age = time.time() - stale["dr_exporter_last_success_timestamp_seconds", "store"]
    assert 0.2 < age < 60
    store.dead = False
    exporter.measure("store")
    assert scraped(port)["dr_expiry_frozen",] == 0


def test_a_slow_measurement_holds_up_no_scrape():
    slow = Measure(lambda _: time.sleep(5) or {}, 60)
    exporter = Exporter(PLAN, {"slow": slow})
    port = serve(exporter, "127.0.0.1", 0)
    exporter.begin()
    began = time.monotonic()
    assert scraped(port) == {}
    assert time.monotonic() - began < 4


def test_an_error_that_nobody_foresaw_ends_nothing(store, caplog):
    failures = iter([ValueError("odd"), None])

    def ask(plan):
        if error := next(failures, None):
            raise error
        return store.ask(plan)

    exporter = Exporter(PLAN, {"store": Measure(ask, 0.1)})
    exporter.begin()
    deadline = time.monotonic() + 20
    while not exporter.known and time.monotonic() < deadline:
        time.sleep(0.05)
    assert exporter.known
    assert "odd" in caplog.text


def test_nothing_outside_the_contract_is_exported():
    exporter = Exporter(PLAN, {"odd": Measure(lambda _: {"dr_odd": [({}, 1.0)]}, 60)})
    with pytest.raises(ValueError, match="dr_odd"):
        exporter.measure("odd")


def test_others_export_nothing_of_ours():
    assert not MEASURED.keys() & EXPORTED_BY_OTHERS
    parts = {"catalogue", "distance", "replication", "wal check", "recovery", "readiness", "drills"}
    assert set(PARTS) == parts | {"sites", "probe", "certificates"}
    assert set(WATCHERS) == {"watch", "schedules", "telling", "pools"}


class Healthz(BaseHTTPRequestHandler):
    """A public endpoint that is healthy, or not."""

    status = 200

    def do_GET(self):
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_):
        pass


def probed(port):
    endpoint = PLAN.service.endpoint.model_copy(update={"address": "127.0.0.1", "port": port})
    service = PLAN.service.model_copy(update={"endpoint": endpoint})
    return PARTS["probe"].ask(PLAN.model_copy(update={"service": service}))


@pytest.mark.parametrize(("status", "success"), [(200, 1.0), (503, 0.0)])
def test_the_public_endpoint_is_asked_as_a_user_asks(status, success):
    with HTTPServer(("127.0.0.1", 0), type("Handler", (Healthz,), {"status": status})) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        found = probed(server.server_port)
    assert found["dr_probe_success"] == [({}, success)]
    [(_, took)] = found["dr_probe_duration_seconds"]
    assert 0 < took < 4


def test_no_answer_is_no_success():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert probed(port)["dr_probe_success"] == [({}, 0.0)]
