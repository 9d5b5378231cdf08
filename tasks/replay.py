"""Before its promotion, a standby reads the archived WAL that it lacks and some surviving repository has.

The failed site's store may outlive its databases, and the archive site's copy may be ahead of the standby
site's own. `recovery.replay_within` of the plan says for how long a promotion waits for that.
"""

import time
from collections.abc import Mapping
from functools import partial

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.clients import archive_ahead, patroni, postgres, standby
from tasks.clients.archive_ahead import Ahead
from tasks.clients.objects import Bucket
from tasks.clients.parallel import ask_all
from tasks.clients.repository import newest_database
from tasks.clients.standby import Standby
from tasks.clients.telemetry.threads import Threads
from tasks.clients.truth import Truth, require_epoch
from tasks.clients.walnames import parse_lsn
from tasks.errors import DrError
from tasks.facts.incident import Incident
from tasks.facts.recovery import Assessment
from tasks.facts.replay import Replay, Stood
from tasks.plan.plan import Plan
from tasks.policy.replay import Way, outcome, reach_words
from tasks.replaying import Replaying, find_way
from tasks.step import step

# A store that does not answer by then is as good as gone: no promotion waits for it.
_STORE_S = 1.0
_OFF = "the plan's recovery.replay_within is zero"
_PROMOTED = "an earlier run has promoted the site"


@task(name="see which WAL archives answer", cache_policy=NO_CACHE)
def see_archives(plan: Plan) -> dict[str, str]:
    """Find the stores that do not answer within a second, while other things are done.

    Returns:
        why, for each site whose store does not.
    """
    if not plan.recovery.replay_within:
        return {}
    answers = ask_all({site: partial(_see, plan, site) for site in plan.sites}, _STORE_S)
    return {site: each.message for site, each in answers.items() if isinstance(each, DrError)}


@step("replay archived WAL", deadline_s=300)
def replay_archived_wal(
    plan: Plan, incident: Incident, assessment: Assessment, silent: Mapping[str, str]
) -> Replay:
    """Let the standby read the archived WAL that goes on from where it stands, as long as the plan allows.

    What cannot be replayed stops no recovery: the result says so, and with it the report.

    Args:
        plan: the plan.
        incident: where from and where to.
        assessment: where the standby stood before.
        silent: why, for each site whose store is not to be waited for.

    Raises:
        Transient: the standby leader does not answer.
        Refused: this run is stale.
    """
    began, within = time.monotonic(), plan.recovery.replay_within
    with Threads(1) as pool:
        standing = pool.submit(_standing, plan, incident.to_site)
        told = _look(plan, incident, assessment, silent) if within else {}
        address, stands = standing.result()
    if not within or not stands.position.in_recovery:
        return _untouched(assessment, stands)
    archives = {site: each for site, each in told.items() if isinstance(each, Ahead)}
    work = Replaying(plan, incident.to_site, address, stands, archives, began + within.total_seconds())
    way, ended = _replay(work, incident)
    after = postgres.position(plan, address) if way.chain else stands.position
    return outcome(stands, after, way, ended).model_copy(
        update={
            "found": {site: _words(each, stands) for site, each in (dict(silent) | told).items()},
            "sources": tuple(work.sources),
            "copied": work.copied,
            "seconds": round(time.monotonic() - began, 3),
        }
    )


def _see(plan: Plan, site: str) -> None:
    newest_database(Bucket.readable(plan, site, _STORE_S), plan.postgresql_ha.cluster_name)


def _standing(plan: Plan, site: str) -> tuple[str, Standby]:
    node = patroni.leader(plan, site)
    return node.host, standby.look(plan, node.host)


def _look(
    plan: Plan, incident: Incident, assessment: Assessment, silent: Mapping[str, str]
) -> dict[str, Ahead | DrError]:
    """Each archive from where the standby stood; that of the site that takes over is asked in any case."""
    lsn, stanza = parse_lsn(assessment.standby_lsn), plan.postgresql_ha.cluster_name

    def look(site: str) -> Ahead:
        return archive_ahead.look(Bucket.readable(plan, site, _STORE_S), stanza, lsn)

    asked = [site for site in plan.sites if site == incident.to_site or site not in silent]
    return ask_all({site: partial(look, site) for site in asked}, _STORE_S)


def _replay(work: Replaying, incident: Incident) -> tuple[Way, str]:
    """What there is to replay, and why it ended before its end; nothing where it did not."""
    try:
        way = find_way(work.plan, work.stands, work.archives, _STORE_S)
    except DrError as error:
        return Way(), _told(error)
    if not way.chain:
        return way, ""
    require_epoch(work.plan, Truth(active=incident.to_site, epoch=incident.epoch, incident=incident.id))
    try:
        work.go(way)
    except DrError as error:
        return way, _told(error)
    return way, ""


def _untouched(assessment: Assessment, stands: Standby) -> Replay:
    """Nothing was done; of a site that an earlier run promoted, only the assessment tells where it stood."""
    standby_now = stands.position.in_recovery
    why = _OFF if standby_now else _PROMOTED
    if standby_now:
        return outcome(stands, stands.position, Way(), "").model_copy(update={"why": why})
    stood = Stood.model_validate(assessment.model_dump(include=set(Stood.model_fields)))
    return Replay(**stood.model_dump(), from_lsn=stood.standby_lsn, why=why)


def _words(found: str | Ahead | DrError, stands: Standby) -> str:
    if isinstance(found, Ahead):
        return reach_words(found, stands)
    return found.message if isinstance(found, DrError) else found


def _told(error: DrError) -> str:
    return f"{error.message}: {error.detail}" if error.detail else error.message
