"""What the exporter measures, part by part: the sites, the catalogue, the WAL, the standby database."""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import get_args

from tasks import arrival, inventory
from tasks.clients import certificates, service
from tasks.clients.truth import active_site
from tasks.drill_evidence import read_drill_reports
from tasks.errors import DrError, Refused, Transient
from tasks.evidence import latest_incident, read_report
from tasks.facts.archive import ArchiveNumbers
from tasks.facts.backups import Point
from tasks.facts.catalogue import Catalogue, Row, State
from tasks.facts.readiness import Standing
from tasks.facts.watch import Moment
from tasks.plan.plan import Plan
from tasks.policy.arrival import Track, arrived, cold_age
from tasks.policy.catalogue import is_ahead
from tasks.policy.drill import counts
from tasks.policy.long_term import is_month
from tasks.policy.watch import rule_of, well
from tasks.readiness_record import last_readiness
from tasks.replication_status import read_status
from tasks.wal_report import last_numbers
from tasks.watching import Prober

Sample = tuple[Mapping[str, str], float]
Told = tuple[str, Mapping[str, str], float]
Samples = Mapping[str, Sequence[Sample]]
_STATES: tuple[str, ...] = get_args(State)
_STANDINGS: tuple[str, ...] = get_args(Standing)
# The plan's name of each backup, by what makes it: a full one is due as an incremental one as well.
_BACKUPS: Mapping[str, Mapping[str, frozenset[str]]] = {
    "database": {
        "full_backup": frozenset({"full"}),
        "incremental_backup": frozenset({"full", "diff", "incr"}),
        "archive": frozenset({"long-term"}),
    },
    "files": {"filesystem": frozenset({"snapshot"})},
    "redis": {"redis": frozenset({"snapshot"})},
    "secrets": {"secrets": frozenset({"snapshot"})},
    "configuration": {"configuration": frozenset({"snapshot"})},
}


@dataclass(frozen=True)
class Measure:
    """One part: how it is measured, and every how many seconds."""

    ask: Callable[[Plan], Samples]
    every_s: float


def catalogue_samples(found: Catalogue) -> Samples:
    """The catalogue in numbers; of what is unknown there is its state only."""
    samples: dict[str, list[Sample]] = {}
    for row in found.rows:
        _add(samples, _row_samples(row))
    for held in found.holdings:
        good = [point for point in held.points or () if point.good and not is_ahead(point, found.at)]
        _add(samples, _backup_samples(good))
    severities = Counter(finding.severity for finding in found.coverage)
    for severity in ("warning", "critical"):
        _add(samples, [("dr_coverage_findings", {"severity": severity}, severities[severity])])
    _add(samples, [("dr_expiry_frozen", {}, float(bool(found.frozen)))])
    return samples


def _row_samples(row: Row) -> Iterator[Told]:
    where = {"asset": row.asset, "site": row.site}
    for state in _STATES:
        yield "dr_catalogue_state", {**where, "state": state}, float(row.state == state)
    if row.state != "unknown":
        yield "dr_backup_points", where, row.points
    if row.verified:
        # The months that are set apart take turns: the catalogue tells which is overdue.
        if not is_month(row.asset):
            yield "dr_verified_timestamp_seconds", where, row.verified.timestamp()
        yield "dr_verified_damages", where, row.damages


def _backup_samples(good: Sequence[Point]) -> Iterator[Told]:
    kinds = _BACKUPS.get(good[0].asset.partition("/")[0], {}) if good else {}
    for backup, variants in kinds.items():
        mine = [point for point in good if point.variant in variants]
        if mine:
            newest = max(mine, key=lambda point: point.at)
            labels = {"backup": backup, "asset": newest.asset, "site": newest.site}
            yield "dr_backup_last_success_timestamp_seconds", labels, newest.at.timestamp()
            yield "dr_backup_size_bytes", labels, newest.size


class Distance:
    """How far the sites are behind the primary: by streaming, and by archived WAL."""

    def __init__(self) -> None:
        self._track = Track()

    def ask(self, plan: Plan) -> Samples:
        """Look at the primary, at every standby and at every repository.

        Raises:
            Transient: the primary or etcd does not answer.
        """
        writing = arrival.look_at_writing(plan, self._track)
        active = active_site(plan)
        lags = arrival.standby_lags(plan, self._track)
        newest = arrival.newest_segments(plan, writing)
        timeout = plan.recovery.archive_timeout
        cold = [cold_age(each, writing, timeout) for site, each in newest.items() if site != active]
        survives = [*lags.values(), *(age.total_seconds() for age in cold)]
        return {
            "dr_replication_lag_seconds": [({"site": site}, lag) for site, lag in lags.items()],
            "dr_wal_last_arrival_timestamp_seconds": [
                ({"site": site}, arrived(each, writing).timestamp()) for site, each in newest.items()
            ],
            "dr_recovery_point_age_seconds": [({}, min(survives))] if survives else [],
        }


def _seen(plan: Plan) -> Samples:
    """How the sites look from the control host's; without etcd nobody can tell which is active."""
    prober = Prober(plan, plan.site_of("dr"), rule_of(plan))
    look = prober.look(active_site(plan), Moment(time.monotonic(), datetime.now(UTC)))
    return {"dr_site_healthy": [({"site": site}, float(it)) for site, it in well(plan, look).items()]}


def _probed(plan: Plan) -> Samples:
    """One request as a user makes it; no answer is no success."""
    began = time.monotonic()
    try:
        path = plan.high_availability.failover.quickest.endpoint
        success = service.healthy(plan.service.endpoint.url, path)
    except Transient:
        success = False
    took = time.monotonic() - began
    return {"dr_probe_success": [({}, float(success))], "dr_probe_duration_seconds": [({}, took)]}


def _certified(plan: Plan) -> Samples:
    """Until when each store's certificate is valid; nothing of one that shows none that is trusted."""
    told: list[Sample] = []
    for site in plan.sites:
        with suppress(DrError):
            told.append(({"site": site}, certificates.store_until(plan, site).timestamp()))
    return {"dr_certificate_expiry_timestamp_seconds": told}


def _catalogue(plan: Plan) -> Samples:
    return catalogue_samples(inventory.catalogue(plan, datetime.now(UTC)))


def _copied(plan: Plan) -> Samples:
    samples: dict[str, list[Sample]] = {}
    for each in read_status(plan):
        where = {"source": each.source, "target": each.target, "repository": each.repository}
        told: list[Told] = [("dr_replication_conflicts", where, each.conflicts)]
        if each.succeeded_at:
            told.append(("dr_replication_objects", where, each.objects))
            at = each.succeeded_at.timestamp()
            told.append(("dr_replication_last_success_timestamp_seconds", where, at))
        _add(samples, told)
    return samples


def _checked(plan: Plan) -> Samples:
    """The numbers of the last check of WAL archiving."""
    last = last_numbers(plan)
    if last is None:
        return {}
    red = {
        site: sum(severity in {"critical", "unknown"} for severity in findings.values())
        for site, findings in last.findings.items()
    }
    told: list[Told] = [("dr_wal_check_timestamp_seconds", {}, last.at.timestamp())]
    told += [("dr_wal_check_red", {"site": site}, count) for site, count in red.items()]
    if last.waiting is not None:
        told.append(("dr_wal_waiting_segments", {}, last.waiting))
    if (full_in_s := _full_in_s(last)) is not None:
        told.append(("dr_wal_disk_full_seconds", {}, full_in_s))
    samples: dict[str, list[Sample]] = {}
    _add(samples, told)
    return samples


def _full_in_s(last: ArchiveNumbers) -> float | None:
    """When WAL fills the disk: never while it is archived, whatever is written; None where nobody knows."""
    severities = {findings.get("disk") for findings in last.findings.values()} - {None}
    if "unknown" in severities:
        return None
    return math.inf if severities == {"ok"} else last.full_in_s


def _ready(plan: Plan) -> Samples:
    """The last evaluation of readiness; nothing where there was none."""
    last = last_readiness(plan)
    if last is None:
        return {}
    samples: dict[str, list[Sample]] = {}
    for check in last.checks:
        for standing in _STANDINGS:
            where = {"check": check.name, "standing": standing}
            _add(samples, [("dr_readiness_check", where, float(check.standing == standing))])
    told: list[Told] = [
        ("dr_readiness", {"standing": each}, float(last.standing == each)) for each in _STANDINGS
    ]
    _add(samples, [*told, ("dr_readiness_timestamp_seconds", {}, last.at.timestamp())])
    return samples


def _rehearsed(plan: Plan) -> Samples:
    """When each drill last passed as a whole; nothing of one that never did."""
    whole = [each for each in read_drill_reports(plan) if counts(plan, each)]
    passed = {each.drill.kind: each.ended for each in whole if each.verdict == "passed"}
    samples: dict[str, list[Sample]] = {}
    for drill, ended in passed.items():
        where = {"drill": drill}
        _add(samples, [("dr_drill_last_success_timestamp_seconds", where, ended.timestamp())])
    return samples


def _recovered(plan: Plan) -> Samples:
    """What the last incident's report measured; nothing where there was none."""
    try:
        report = read_report(plan, latest_incident(plan))
    except Refused:
        return {}
    lost = report.rpo.lost_seconds
    return {
        "dr_recovery_duration_seconds": [({}, report.rto_seconds.total)],
        "dr_recovery_loss_seconds": [] if lost is None else [({}, lost)],
    }


def _add(samples: dict[str, list[Sample]], new: Iterable[Told]) -> None:
    for metric, labels, value in new:
        samples.setdefault(metric, []).append((labels, value))


PARTS: Mapping[str, Measure] = {
    "sites": Measure(_seen, 15),
    "probe": Measure(_probed, 15),
    "certificates": Measure(_certified, 300),
    "catalogue": Measure(_catalogue, 30),
    "distance": Measure(Distance().ask, 15),
    "replication": Measure(_copied, 30),
    "wal check": Measure(_checked, 30),
    "recovery": Measure(_recovered, 60),
    "readiness": Measure(_ready, 30),
    "drills": Measure(_rehearsed, 120),
}
