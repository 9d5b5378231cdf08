"""Pull copies of a site's pgBackRest repository: whole, or only the newest WAL.

At any instant the copy can be restored from: the info files are read first and written last, so they never
name what the copy does not have. Nothing is deleted from a copy because its source lost it.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.tasks import exponential_backoff

from tasks.clients import repository
from tasks.clients.objects import Bucket, Entry
from tasks.clients.repository import Content, Progress
from tasks.clients.truth import active_site
from tasks.errors import DrError, Permanent, Refused, Transient
from tasks.facts.archive import CopyReport
from tasks.plan.plan import Plan
from tasks.policy.replication import Pull, is_same, order_copy, recent_directories, replication_pairs
from tasks.retry import is_transient

# A whole object of a backup in one request; a stalled one is given up after 30 s without a byte.
_BULK_S = 1800.0
_GOOD = "good"


def due_pulls(plan: Plan, source: str | None = None, target: str | None = None) -> tuple[Pull, ...]:
    """Who pulls from whom now, narrowed to a source and a target where given.

    Raises:
        Refused: nothing is left, or the target is the active site.
        Transient: the active site cannot be told.
    """
    pulls = replication_pairs({name: site.role for name, site in plan.sites.items()}, active_site(plan))
    due = tuple(each for each in pulls if source in {None, each.source} and target in {None, each.target})
    if not due:
        known = ", ".join(f"{each.source} to {each.target}" for each in pulls)
        raise Refused(f"nothing copies {source or 'any site'} to {target or 'any site'}", f"now: {known}")
    return due


@task(
    name="pull a repository",
    task_run_name="pull {pull.source} to {pull.target}",
    retries=4,
    retry_delay_seconds=exponential_backoff(backoff_factor=2),
    retry_jitter_factor=0.5,
    retry_condition_fn=is_transient,
    cache_policy=NO_CACHE,
)
def replicate(plan: Plan, pull: Pull, progress: Progress | None = None) -> CopyReport:
    """Copy what is new or changed in a repository; a pass that changes nothing lists each side once.

    Raises:
        Transient: a store does not answer, or the source changed meanwhile.
        Permanent: a store refuses, or the source has no such stanza.
    """
    source = Bucket.readable(plan, pull.source, _BULK_S)
    target = Bucket.owned(plan, pull.target, _BULK_S)
    return copy_repository(source, target, plan.postgresql_ha.cluster_name, progress)


def pull_wal(plan: Plan) -> list[CopyReport]:
    """Copy the newest WAL along every pull that is due; one dead site does not hold up another.

    Raises:
        Transient: the active site cannot be told, or a pull failed and may not fail again.
        Permanent: a pull failed for good.
    """
    pulls = due_pulls(plan)
    stanza = plan.postgresql_ha.cluster_name

    def one(pull: Pull) -> CopyReport | DrError:
        try:
            source, target = Bucket.readable(plan, pull.source), Bucket.owned(plan, pull.target)
            return copy_newest_wal(source, target, stanza)
        except DrError as error:
            return error

    with ThreadPoolExecutor(len(pulls)) as pool:
        results = list(pool.map(one, pulls))
    failures = [result for result in results if isinstance(result, DrError)]
    if failures:
        kind = Permanent if any(isinstance(each, Permanent) for each in failures) else Transient
        raise kind("WAL is not copied to every site", "; ".join(map(str, failures)), failures[0].hint)
    return [result for result in results if isinstance(result, CopyReport)]


def copy_repository(
    source: Bucket, target: Bucket, stanza: str, progress: Progress | None = None
) -> CopyReport:
    """Make the target's repository a copy of the source's; see `replicate`."""
    began = time.monotonic()
    return _bring(source, target, _whole(source, target, stanza), began, progress)


def copy_newest_wal(source: Bucket, target: Bucket, stanza: str) -> CopyReport:
    """Copy what the newest WAL directories gained; some ten requests where nothing is new."""
    began = time.monotonic()
    return _bring(source, target, _newest_wal(source, target, stanza), began)


@dataclass(frozen=True)
class _Sight:
    """Both sides as one pass sees them; `infos` were read before anything was listed."""

    infos: Sequence[Content]
    listed: Sequence[Entry]
    held: Mapping[str, Entry]


def _whole(source: Bucket, target: Bucket, stanza: str) -> _Sight:
    infos = repository.read_infos(source, stanza)
    roots = repository.archive_of(stanza), repository.backups_of(stanza)
    listed = [entry for root in roots for entry in source.list(root)]
    return _Sight(infos, listed, {entry.key: entry for root in roots for entry in target.list(root)})


def _newest_wal(source: Bucket, target: Bucket, stanza: str) -> _Sight:
    infos = repository.read_archive_info(source, stanza)
    database = repository.newest_database(source, stanza)
    folders, listed = source.children(database) if database else ((), ())
    held_folders, held = target.children(database) if database else ((), ())
    recent = recent_directories(folders, held_folders)
    listed = [*listed, *(entry for folder in recent for entry in source.list(folder))]
    held = [*held, *(entry for folder in recent for entry in target.list(folder))]
    _, held_infos = target.children(repository.archive_of(stanza))
    return _Sight(infos, listed, {entry.key: entry for entry in (*held, *held_infos)})


def _bring(
    source: Bucket, target: Bucket, sight: _Sight, began: float, progress: Progress | None = None
) -> CopyReport:
    same = _comparison(target, [*sight.listed, *(entry for entry, _ in sight.infos)], sight.held)
    changed = {entry.key for entry in sight.listed if not same(entry)}
    order = order_copy(sight.listed, sight.held, changed)
    copied = repository.copy_all(source, target, order.phases, progress)
    written = repository.write_infos(target, sight.infos, same)
    return CopyReport(
        objects=sum(map(len, order.phases)) + len(written),
        bytes=copied + sum(entry.size for entry in written),
        skipped=order.skipped,
        postponed=order.postponed,
        conflicts=order.conflicts,
        seconds=time.monotonic() - began,
    )


def _comparison(
    target: Bucket, listed: Sequence[Entry], have: Mapping[str, Entry]
) -> Callable[[Entry], bool]:
    verdicts = {entry.key: is_same(entry, have.get(entry.key)) for entry in listed}
    doubtful = [entry for entry in listed if verdicts[entry.key] is None]
    confirmed = repository.confirm_copies(target, doubtful)
    return lambda entry: bool(verdicts[entry.key]) or entry.key in confirmed


def publish_copies(done: Mapping[Pull, State[CopyReport]]) -> list[CopyReport]:
    """Show what every pull did, and fail the run where one failed or found a conflict.

    Raises:
        Permanent: a pull failed, or its source changed what may never change.
    """
    results = {pull: state.result(raise_on_failure=False) for pull, state in done.items()}
    rows = [f"|{pull.source}|{pull.target}|{_row(result)}|" for pull, result in results.items()]
    head = "|from|to|objects|bytes|same|postponed|seconds|state|\n|-|-|-|-|-|-|-|-|"
    create_markdown_artifact(key="replicate-backups", markdown="\n".join([head, *rows]))
    states = {f"{pull.source} to {pull.target}": _state(result) for pull, result in results.items()}
    bad = [f"{pull}: {state}" for pull, state in states.items() if state != _GOOD]
    if bad:
        raise Permanent("not every copy is good", "; ".join(bad), "see the artifact replicate-backups")
    return [result for result in results.values() if isinstance(result, CopyReport)]


def _row(result: CopyReport | BaseException) -> str:
    if isinstance(result, BaseException):
        return f"||||| {_state(result)}"
    counts = (result.objects, result.bytes, result.skipped, result.postponed)
    return "|".join([*map(str, counts), f"{result.seconds:.1f}", _state(result)])


def _state(result: CopyReport | BaseException) -> str:
    if isinstance(result, BaseException):
        return result.message if isinstance(result, DrError) else repr(result)
    shown = ", ".join(result.conflicts[:3])
    return f"{len(result.conflicts)} changed that never may: {shown}" if result.conflicts else _GOOD
