"""The sites' replication slots at each other: whose they are, and how much WAL they hold.

A standby site's slot at the active site is its standby leader's alone. A node whose upstream changes while
its WAL receiver waits for orders goes on over the connection that it has: PostgreSQL reads the new one for a
new receiver only. Such a node holds that slot, and the standby leader never streams; neither PostgreSQL nor
Patroni ends that.

Each site has the other one's slot, so that nothing waits for it after a failover. At a standby site nobody
uses it: unless it is moved on, it holds all WAL since the site was made, until the disk is full.

Source: PostgreSQL source, `walreceiverfuncs.c` (RequestXLogStreaming), `xlogrecovery.c`
(StartupRequestWalReceiverRestart); its manual, "Replication Management Functions".
"""

from tasks.clients import patroni
from tasks.clients.layout import slot_of
from tasks.clients.postgres import connected
from tasks.plan.plan import Plan

_TAKE_AWAY = """
select application_name, pg_terminate_backend(pid)
from pg_stat_replication join pg_replication_slots on active_pid = pid
where slot_name = %s and application_name <> %s
"""

_MOVE_ON = """
select pg_replication_slot_advance(slot_name, pg_last_wal_replay_lsn())
from pg_replication_slots
where pg_is_in_recovery() and not active and slot_name = any(%s) and restart_lsn < pg_last_wal_replay_lsn()
"""


def free(plan: Plan, site: str, upstream: str) -> list[str]:
    """Take a site's slot from whoever holds it and is not the site's standby leader.

    Returns:
        the names of those who held it; none in most cases.

    Raises:
        Transient: a site has no PostgreSQL leader that answers.
    """
    rightful = patroni.leader(plan, site).name
    with connected(plan, patroni.leader(plan, upstream).host) as connection:
        found = connection.execute(_TAKE_AWAY, (slot_of(site), rightful)).fetchall()
    return [row["application_name"] for row in found]


def move_on(plan: Plan, site: str) -> None:
    """Let a standby site's leader keep no WAL for a site that does not follow it.

    Raises:
        Transient: it has no PostgreSQL leader that answers.
    """
    others = [slot_of(other) for other in plan.sites if other != site]
    with connected(plan, patroni.leader(plan, site).host) as connection:
        connection.execute(_MOVE_ON, (others,))
