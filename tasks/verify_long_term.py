"""Verify what is set apart for the long term: a few months in each run, each in its own repository."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from prefect.client.schemas.objects import State

from tasks.clients import longterm, pgbackrest, point_contents
from tasks.clients.infofile import read_info
from tasks.clients.longterm import LongTermPoint
from tasks.clients.manifest import MANIFEST, ROOT, point_of
from tasks.clients.objects import Bucket, Entry, Missing
from tasks.clients.repository import ROOT as REPOSITORY
from tasks.clients.repository import archive_of, backups_of
from tasks.errors import Permanent
from tasks.facts.backups import Damage, Verified
from tasks.plan.plan import Plan
from tasks.policy.long_term import (
    due_months,
    folder_of,
    full_backups,
    is_of,
    missing_segments,
    months_on_record,
)
from tasks.retry import retried
from tasks.verified import read_verified
from tasks.verify import Found

_VERIFY_S = 4 * 3600.0
_METHOD = "pgbackrest verify of the month's own repository, SHA-256 of every sealed object"
Wrong = list[tuple[str, str]]


def verify_long_term(plan: Plan) -> dict[tuple[str, str], Found]:
    """Verify the months whose turn it is; by site and check, as the flow keeps them."""
    site = plan.site_of("archive")
    due: State[Any] = choose_months(plan, return_state=True)
    if not due.is_completed():
        return {(site, longterm.ROOT): due}
    return {(site, folder_of(each)): verify_month(plan, each, return_state=True) for each in due.result()}


@retried("choose the months to verify", times=2, delay=10)
def choose_months(plan: Plan) -> tuple[str, ...]:
    """The months whose turn it is; see `due_months`.

    Raises:
        Transient, Permanent: the archive's store, or every store's records, cannot be read.
    """
    records = months_on_record(read_verified(plan))
    return due_months(
        longterm.marked_months(plan), records, datetime.now(UTC), plan.protection.archive.retention
    )


@retried("verify a month", run_name="verify {month} of the long term", times=2, delay=10)
def verify_month(plan: Plan, month: str) -> tuple[Verified, ...]:
    """Let pgBackRest read all of a month's repository, read its sealed points, and count its objects.

    Raises:
        Transient: no database host, or the store, does not answer.
        Permanent: pgBackRest failed.
    """
    site, asset = plan.site_of("archive"), folder_of(month)
    bucket = Bucket.readable(plan, site)
    try:
        point, what = longterm.read_point(bucket, month), "missing"
    except longterm.Unreadable as error:
        point, what = None, f"it cannot be read: {error.detail}"
    held = _held(bucket, point) if point else ()
    wrong = _wrong(plan, bucket, point, held) if point else [(f"{asset}/{longterm.MARK}", what)]
    damages = tuple(Damage(asset, site, name, how) for name, how in wrong)
    size = sum(entry.size for entry in held)
    return (Verified(asset, site, datetime.now(UTC), _METHOD, len(held), size, damages),)


def _held(bucket: Bucket, point: LongTermPoint) -> Sequence[Entry]:
    """The objects that are there of a point, without what a run that broke off left of other backups."""
    sealed = tuple(f"{point.name}/{ROOT}/{asset}/{stamp}/" for asset, stamp in point.points.items())
    return [
        entry
        for entry in bucket.list(point.name)
        if entry.key.startswith((f"{_repository(point)}/", *sealed)) and is_of(point.label, entry.key)
    ]


def _wrong(plan: Plan, bucket: Bucket, point: LongTermPoint, held: Sequence[Entry]) -> Wrong:
    wrong = [*_database(plan, point, held), *_sealed(plan, bucket, point)]
    count, size = len(held), sum(entry.size for entry in held)
    if count >= point.objects and size >= point.size:
        return wrong
    wrong += _lost_segments(plan, bucket, point, held)
    told = f"{count} objects of {size} bytes, {point.objects} of {point.size} were set apart"
    return wrong or [(point.name, told)]


def _database(plan: Plan, point: LongTermPoint, held: Sequence[Entry]) -> Wrong:
    stanza, root = plan.postgresql_ha.cluster_name, _repository(point)
    backups = backups_of(stanza, root)
    records = (
        f"{archive_of(stanza, root)}/archive.info",
        f"{backups}/backup.info",
        f"{backups}/{point.label}/backup.manifest",
    )
    there = {entry.key for entry in held}
    # pgBackRest silently takes the copy of a record, and gives up where both are gone.
    if absent := [key for each in records for key in (each, f"{each}.copy") if key not in there]:
        return [(key, "missing") for key in absent]
    found = pgbackrest.verify(plan, plan.site_of("archive"), timeout=_VERIFY_S, root=root)
    return [(name, what) for name, what in found if is_of(point.label, name)]


def _sealed(plan: Plan, bucket: Bucket, point: LongTermPoint) -> Iterator[tuple[str, str]]:
    """The damages of the sealed points, every object read."""
    root = f"{point.name}/{ROOT}"
    for asset, stamp in point.points.items():
        key = f"{root}/{asset}/{stamp}/{MANIFEST}"
        try:
            sealed = replace(point_of(bucket.get(key), asset, stamp), root=root)
        except Missing:
            yield key, "missing"
        except ValueError as error:
            yield key, str(error)
        else:
            yield from point_contents.damages(plan, plan.site_of("archive"), sealed, read=True)


def _lost_segments(plan: Plan, bucket: Bucket, point: LongTermPoint, held: Sequence[Entry]) -> Wrong:
    """The WAL that is not there, which pgBackRest misses nowhere; nothing where backup.info does not tell."""
    root, stanza = _repository(point), plan.postgresql_ha.cluster_name
    key, cipher = f"{backups_of(stanza, root)}/backup.info", plan.secret("repository_cipher")
    try:
        backups = full_backups(read_info(bucket.get(key), cipher))
        lost = [
            (f"{archive_of(stanza, root)}/{backup.archive}/{name[:16]}/{name}", "missing")
            for backup in backups
            if backup.label == point.label
            for name in missing_segments(backup, (entry.key for entry in held))
        ]
    except (Permanent, ValueError):
        return []
    return lost


def _repository(point: LongTermPoint) -> str:
    return f"{point.name}/{REPOSITORY}"
