"""Pull copies of a site's repositories: each whole, or only the newest WAL."""

from collections.abc import Mapping

from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.tasks import exponential_backoff

from tasks.clients.objects import Bucket
from tasks.clients.telemetry.threads import Threads
from tasks.clients.truth import active_site
from tasks.copying import Rules, pull_newest_wal, pull_repository
from tasks.errors import DrError, Permanent, Refused, Transient
from tasks.facts.copies import CopyReport
from tasks.plan.plan import Plan
from tasks.policy.replication import Pull, replication_pairs, repositories
from tasks.progress import shown
from tasks.retry import retried

# A whole object of a backup in one request; a stalled one is given up after 30 s without a byte.
_BULK_S = 1800.0
_GOOD = "good"
_SHOWN = 3

Copy = tuple[Pull, str]


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


def due_copies(plan: Plan, source: str | None = None, target: str | None = None) -> tuple[Copy, ...]:
    """Every pull of every repository that is due, in the order in which new backups travel.

    Raises:
        Refused, Transient: see `due_pulls`.
    """
    roots = tuple(repositories(plan.postgresql_ha.cluster_name))
    return tuple((pull, root) for pull in due_pulls(plan, source, target) for root in roots)


@retried(
    "pull a repository",
    run_name="pull {root} from {pull.source} to {pull.target}",
    times=4,
    delay=exponential_backoff(backoff_factor=2),
    jitter=0.5,
)
def replicate(plan: Plan, pull: Pull, root: str) -> CopyReport:
    """Copy what is new or changed in a repository; a pass that changes nothing lists each side once.

    Raises:
        Transient: a store does not answer, or the source changed meanwhile.
        Permanent: a store refuses, or the source has no such stanza.
    """
    source = Bucket.readable(plan, pull.source, _BULK_S)
    target = Bucket.owned(plan, pull.target, _BULK_S)
    of = repositories(plan.postgresql_ha.cluster_name)[root]
    with shown(f"{root} from {pull.source} to {pull.target}") as told:
        return pull_repository(source, target, of, rules_of(plan), told)


def rules_of(plan: Plan) -> Rules:
    """What a pull must know of the plan, now."""
    strategy = plan.backup_strategy.database
    keep = {"full": strategy.full_backup.retention, "incr": strategy.incremental_backup.retention}
    return Rules(plan.secret("repository_cipher"), keep)


def pull_wal(plan: Plan) -> list[CopyReport]:
    """Copy the newest WAL along every pull that is due; one dead site does not hold up another.

    Raises:
        Transient: the active site cannot be told, or a pull failed and may not fail again.
        Permanent: a pull failed for good.
    """
    pulls = due_pulls(plan)
    stanza, rules = plan.postgresql_ha.cluster_name, rules_of(plan)

    def one(pull: Pull) -> CopyReport | DrError:
        try:
            source, target = Bucket.readable(plan, pull.source), Bucket.owned(plan, pull.target)
            return pull_newest_wal(source, target, stanza, rules)
        except DrError as error:
            return error

    with Threads(len(pulls)) as pool:
        results = list(pool.map(one, pulls))
    failures = [result for result in results if isinstance(result, DrError)]
    if failures:
        kind = Permanent if any(isinstance(each, Permanent) for each in failures) else Transient
        raise kind("WAL is not copied to every site", "; ".join(map(str, failures)), failures[0].hint)
    return [result for result in results if isinstance(result, CopyReport)]


def publish_copies(done: Mapping[Copy, State[CopyReport]]) -> list[CopyReport]:
    """Show what every pull did, and fail the run where one failed or found a conflict.

    Raises:
        Permanent: a pull failed, its source changed what may never change, or lost what the plan keeps.
    """
    results = {copy: state.result(raise_on_failure=False) for copy, state in done.items()}
    rows = [f"|{pull.source}|{pull.target}|{root}|{_row(each)}|" for (pull, root), each in results.items()]
    head = "|from|to|repository|objects|bytes|same|postponed|only here|seconds|state|"
    rule = "|-" * head.count("|")
    create_markdown_artifact(key="replicate-backups", markdown="\n".join([head, rule[:-1], *rows]))
    states = {f"{p.source} to {p.target}, {root}": _state(each) for (p, root), each in results.items()}
    bad = [f"{pull}: {state}" for pull, state in states.items() if state != _GOOD]
    if bad:
        raise Permanent("not every copy is good", "; ".join(bad), "see the artifact replicate-backups")
    return [result for result in results.values() if isinstance(result, CopyReport)]


def _row(result: CopyReport | BaseException) -> str:
    if isinstance(result, BaseException):
        return f"|||||| {_state(result)}"
    counts = (result.objects, result.bytes, result.skipped, result.postponed, len(result.kept))
    return "|".join([*map(str, counts), f"{result.seconds:.1f}", _state(result)])


def _state(result: CopyReport | BaseException) -> str:
    if isinstance(result, BaseException):
        return result.message if isinstance(result, DrError) else repr(result)
    told = []
    if result.conflicts:
        told.append(f"{len(result.conflicts)} changed or lost that may not: {_first(result.conflicts)}")
    if result.refused:
        told.append(f"{len(result.refused)} damaged at the source: {_first(result.refused)}")
    return "; ".join(told) or _GOOD


def _first(keys: tuple[str, ...]) -> str:
    return ", ".join(keys[:_SHOWN])
