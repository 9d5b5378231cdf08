"""Decisions of a recovery from backups: whether it is called for, from which copy, to which moment. Pure.

Source: seed, "Cold Standby Site".
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from tasks.clients.moment import require_zone
from tasks.clients.walnames import SEGMENT_SIZE, Segment, parse_lsn
from tasks.errors import Refused
from tasks.facts.cold import (
    ColdAssessment,
    Copy,
    Infrastructure,
    Recovered,
    RestoredFiles,
    Returned,
    Swapped,
)
from tasks.facts.restored import ColdRestore


def newest_segment(names: Iterable[str]) -> str:
    """The newest of some archived WAL files, by their 24 digits; empty where there is none.

    A later timeline is newer: it goes on from an earlier one.
    """
    return max((name[:24] for name in names), default="")


def usable_standby(standby_lsn: str, copies: Sequence[Copy]) -> bool:
    """Whether a standby has at least what every usable copy holds, so that failing over loses less.

    Args:
        standby_lsn: what it has received and replayed.
        copies: the sites' copies.
    """
    newest = newest_segment(copy.newest_wal for copy in copies if not copy.wrong)
    return not newest or parse_lsn(standby_lsn) >= Segment.parse(newest).number * SEGMENT_SIZE


def choose_copy(copies: Sequence[Copy], target: datetime | None) -> str:
    """The copy to restore: the first of those that hold the newest WAL.

    Args:
        copies: in the order in which they are preferred.
        target: the moment to recover to, where one is asked for.

    Raises:
        Refused: none can be used, or none reaches back to the moment.
    """
    good = [copy for copy in copies if not copy.wrong]
    told = "; ".join(f"{copy.site}: {copy.wrong or reach(copy)}" for copy in copies)
    if not good:
        raise Refused("no copy of the backups can be restored", told, "bring one site's store back")
    able = [copy for copy in good if target is None or _reaches(copy, target)]
    if not able:
        raise Refused(f"no copy can be recovered to {target}", told, "choose a moment that one reaches")
    newest = newest_segment(copy.newest_wal for copy in able)
    return next(copy.site for copy in able if copy.newest_wal[:24] == newest)


def require_moment(target: datetime | None, now: datetime) -> None:
    """Refuse a moment that no recovery can reach.

    Raises:
        Refused: it has no time zone, or is not past.
    """
    if target is None:
        return
    require_zone(target)
    if target >= now:
        raise Refused("the moment is not past", f"{target.isoformat()}, now {now.isoformat()}")


def _reaches(copy: Copy, target: datetime) -> bool:
    return bool(copy.oldest and copy.stored_at and copy.oldest <= target <= copy.stored_at)


def reach(copy: Copy) -> str:
    """What a copy can recover to, in words."""
    return f"from {copy.oldest:%Y-%m-%d %H:%M:%S} UTC, newest WAL {copy.newest_wal} of {copy.stored_at}"


def end_of_history(text: str) -> tuple[int, str]:
    """Where a timeline left its parent: the parent and the LSN, as the last line of its history tells.

    Raises:
        ValueError: it is no history.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if not lines or len(lines[-1]) < 2:
        raise ValueError("not a timeline history")
    return int(lines[-1][0]), lines[-1][1]


def told(  # noqa: PLR0913 -- everything that was found
    assessment: ColdAssessment,
    ready: Infrastructure,
    files: RestoredFiles,
    recovered: Recovered,
    swapped: Swapped,
    returned: Returned,
) -> ColdRestore:
    """What was restored from where, how fast, for the report."""
    return ColdRestore(
        source=assessment.source,
        newest_wal=assessment.copy_used.newest_wal,
        target=assessment.target,
        reached=recovered.reached,
        timeline=recovered.timeline,
        lsn=recovered.lsn,
        bytes=recovered.bytes,
        restore_s=files.seconds,
        recover_s=recovered.seconds,
        kept=swapped.kept,
        infrastructure=ready.how,
        returned=returned.restored,
    )
