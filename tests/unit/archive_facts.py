"""Archives, backups and archivers for the tests of WAL archiving."""

from datetime import UTC, datetime, timedelta

from tasks.clients.walnames import Segment
from tasks.facts.archive import ArchivedFile, ArchiveFacts, ArchiveLimits
from tasks.facts.archiver import ArchiverFact, BackupFact, PrimaryFact
from tasks.policy.archive_fold import Fold, Sight

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MIB16 = 16 * 1024 * 1024
PARTIAL = ".partial-" + "c" * 40
LIMITS = ArchiveLimits(rpo=timedelta(minutes=15), archive_timeout=timedelta(minutes=1))


def wal(number, timeline=1, size=70_000, age_s=30, ending="-" + "a" * 40, etag="e"):  # noqa: PLR0913 -- a table of fields
    name = f"{Segment(timeline, number).name()}{ending}.zst"
    return ArchivedFile(name, size, NOW - timedelta(seconds=age_s), etag)


def backup(start, stop, timeline=1, label="20260301-020000F", age_h=10):
    segments = Segment(timeline, start).name(), Segment(timeline, stop).name()
    return BackupFact(label, "full", *segments, NOW - timedelta(hours=age_h))


BACKUPS = (backup(2, 2),)


def folded(by_site, primary=None, watched=frozenset(), ciphered=True, reference="us"):
    primary = primary or PrimaryFact(1, 9 * MIB16 + 100)
    fold = Fold(Sight(reference, primary, frozenset(watched), NOW, ciphered=ciphered), by_site)
    folders = sorted({file.name[:16] for files in by_site.values() for file in files})
    for folder in folders:
        fold.add(
            {site: [file for file in files if file.name[:16] == folder] for site, files in by_site.items()}
        )
    return fold


def seen_at(site, by_site, backups=BACKUPS, primary=None, **sight):
    primary = primary or PrimaryFact(1, 9 * MIB16 + 100)
    fold = folded(by_site, primary, **sight)
    return ArchiveFacts("main", ("main",), backups=backups, primary=primary, seen_at=NOW, **fold.facts(site))


def facts(files, backups=BACKUPS, primary=None, **sight):
    return seen_at("us", {"us": list(files)}, tuple(backups), primary, **sight)


HEALTHY = facts([wal(number) for number in range(1, 9)])


def archiver(failed=0, archived_s=10, failed_s=None, waiting=0, claim="", waiting_s=0.0, idle_s=5.0, **told):  # noqa: PLR0913 -- a table of fields
    ago = [
        None if seconds is None else NOW - timedelta(seconds=seconds) for seconds in (archived_s, failed_s)
    ]
    wal = "000000010000000000000009"
    return ArchiverFact(failed, *ago, wal, waiting, claim, waiting_s, idle_s, **told)
