"""Database backups by pgBackRest, into the active site's repository.

Source: pgBackRest command reference, "Backup Command"; user guide, "Backup from a Standby".
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks.clients import patroni, pgbackrest
from tasks.clients.objects import Bucket
from tasks.clients.parallel import answered, ask_all
from tasks.clients.patroni import Member
from tasks.clients.pgbackrest_log import share_done
from tasks.clients.serverfacts import server_facts
from tasks.clients.truth import active_site
from tasks.errors import Permanent, Transient
from tasks.plan.plan import Plan
from tasks.policy.database_backup import choose_standby, doubts
from tasks.progress import Told, shown
from tasks.retry import retried

_BACKUP_S = 4 * 3600
_LOOK_S = 300


@dataclass(frozen=True)
class Taken:
    """A backup that was taken.

    Attributes:
        label: what pgBackRest calls it.
        host: whose files were read.
        leader_because: why those were the leader's; empty where a standby's were.
    """

    label: str
    host: str
    leader_because: str = ""


@dataclass(frozen=True)
class Stored:
    """The bytes of the database, and those that the repository took for them."""

    database: int
    added: int


@retried("take a backup", delay=10)
def take_backup(plan: Plan, kind: pgbackrest.Kind) -> Taken:
    """Take one backup of the active site's cluster, from a standby where a healthy one is.

    Raises:
        Transient: the leader cannot be reached, or another backup is being taken.
        Permanent: pgBackRest failed, from the leader too.
    """
    site = active_site(plan)
    members = patroni.members(plan, site)
    leader = next((member for member in members if member.leads), None)
    if leader is None:
        raise Transient(f"{site} has no PostgreSQL leader now")
    if busy := pgbackrest.running_backup(plan, site):
        raise Transient("another backup is being taken", f"on {busy}", "it ends by itself")
    with shown(f"{kind} backup of {site}") as told:
        return _from_standby_or_leader(plan, site, kind, leader, choose_standby(members), told)


def _from_standby_or_leader(  # noqa: PLR0913 -- what is backed up, and by which way
    plan: Plan, site: str, kind: pgbackrest.Kind, leader: Member, standby: str | None, told: Told
) -> Taken:
    """A backup from the leader is better than none, and says why it is from there."""

    def tell(line: str) -> None:
        share = share_done(line)
        if share is not None:
            told(share, 1)

    def take(source: str | None) -> str:
        return pgbackrest.backup(plan, site, leader.name, kind, timeout=_BACKUP_S, standby=source, tell=tell)

    if standby is None:
        return Taken(take(None), leader.name, "no standby streams closely")
    try:
        return Taken(take(standby), standby)
    except Permanent as error:
        why = f"the backup from {standby} failed: {error.message}: {error.detail[-300:]}"
    return Taken(take(None), leader.name, why)


@retried("see that the backup arrived")
def verify_backup(plan: Plan, taken: Taken) -> Stored:
    """See the backup in the bucket, of a plausible size, free of bad pages, and of this very server.

    Raises:
        Permanent: it is not there, implausibly small, or has pages whose checksums are wrong; or the
            versions of pgBackRest, of PostgreSQL's programs and of the running server are not one.
        Transient: the leader or the store cannot be reached.
    """
    site = active_site(plan)
    leader = patroni.leader(plan, site)
    folder = f"pgbackrest/backup/{plan.postgresql_ha.cluster_name}/{taken.label}/"
    looks: dict[str, Callable[[], Any]] = {
        "told": partial(pgbackrest.info, plan, site, leader.name),
        "stored": lambda: {e.key.removeprefix(folder): e.size for e in Bucket.owned(plan, site).list(folder)},
        "facts": partial(server_facts, plan, site, leader.name),
    }
    told, stored, facts = (answered(answer) for answer in ask_all(looks, _LOOK_S).values())
    mine = next((backup for backup in told["backup"] if backup["label"] == taken.label), None)
    if mine is None:
        raise Permanent(f"backup {taken.label} is not in the repository", f"site {site}")
    wrong = list(doubts(mine, told["db"], stored, facts))
    if wrong:
        raise Permanent(f"backup {taken.label} is not usable", "; ".join(wrong), "look at pgBackRest's log")
    return Stored(mine["info"]["size"], mine["info"]["repository"]["delta"])


@task(name="tell what was backed up", cache_policy=NO_CACHE)
def tell_backup(taken: Taken, stored: Stored) -> None:
    """Show in an artifact what was stored, and from where it was taken."""
    source = f"the leader, because {taken.leader_because}" if taken.leader_because else "a standby"
    sizes = f"{stored.database / 1e6:,.1f} MB, {stored.added / 1e6:,.1f} MB stored anew"
    create_markdown_artifact(
        key="database-backup",
        description=taken.label,
        markdown=f"Backup `{taken.label}`: {sizes}. Taken from {taken.host}, {source}.\n",
    )
