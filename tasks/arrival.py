"""Look at how far every site is behind the primary. No Prefect here: the exporter asks every few seconds."""

from functools import partial

from tasks.clients import archiver, patroni, postgres, repository
from tasks.clients.objects import Bucket
from tasks.clients.parallel import ask_all
from tasks.clients.truth import active_site
from tasks.clients.walnames import SEGMENT_SIZE, Segment, parse_archived, parse_lsn
from tasks.errors import DrError, Permanent, Transient
from tasks.plan.plan import Plan
from tasks.policy.arrival import Newest, Track, Writing

_ALL_S = 12


def look_at_writing(plan: Plan, track: Track) -> Writing:
    """Where the active primary writes, which is also remembered.

    Raises:
        Transient: the primary or etcd does not answer.
    """
    node = patroni.leader(plan, active_site(plan))
    row, position = archiver.primary_row(plan, node.host), postgres.position(plan, node.host)
    writing = Writing(position.at, parse_lsn(row["lsn"]), int(row["timeline"], 16), row["segment_size"])
    track.saw(writing)
    return writing


def standby_lags(plan: Plan, track: Track) -> dict[str, float]:
    """Seconds that each other site's database is behind; nothing of one of which that is not known."""
    active = active_site(plan)
    sites = [name for name, site in plan.sites.items() if name != active and site.running("postgres")]
    answers = ask_all({site: partial(_lag, plan, site, track) for site in sites}, _ALL_S)
    return {site: lag for site, lag in answers.items() if not isinstance(lag, DrError)}


def newest_segments(plan: Plan, writing: Writing) -> dict[str, Newest]:
    """The newest whole segment that each site's repository holds; nothing of one that does not answer."""
    jobs = {site: partial(newest_segment, plan, site, writing.segment_size) for site in plan.sites}
    answers = ask_all(jobs, _ALL_S)
    return {site: newest for site, newest in answers.items() if not isinstance(newest, DrError)}


def newest_segment(plan: Plan, site: str, segment_size: int = SEGMENT_SIZE) -> Newest:
    """The newest whole segment of one repository.

    Raises:
        Permanent: it holds none.
        Transient: the store does not answer.
    """
    bucket = Bucket.readable(plan, site, 5)
    database = repository.newest_database(bucket, plan.postgresql_ha.cluster_name)
    folders, _ = bucket.children(database) if database else ((), ())
    # A folder for each 4 GiB of WAL of a timeline; the newest may hold no whole segment yet.
    for folder in sorted(folders, reverse=True):
        _, entries = bucket.children(folder)
        found = [
            (Segment.parse(name.wal, segment_size), entry.modified)
            for entry in entries
            if (name := parse_archived(entry.key.rpartition("/")[2])) and not name.partial
        ]
        if found:
            return Newest(*max(found))
    raise Permanent(f"the repository of {site} holds no WAL")


def _lag(plan: Plan, site: str, track: Track) -> float:
    standby = postgres.position(plan, patroni.leader(plan, site).host)
    late = track.behind(parse_lsn(standby.lsn), standby.last_commit)
    if late is None:
        raise Transient(f"how far {site} is behind is not known: it has replayed no commit since it began")
    return late.total_seconds()
