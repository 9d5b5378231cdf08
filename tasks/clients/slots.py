"""A standby site's replication slot at the active site: it is its standby leader's alone.

A node whose upstream changes while its WAL receiver waits for orders goes on over the connection that it has:
PostgreSQL reads the new one for a new receiver only. Such a node holds the slot of its site's standby leader,
which then never streams; neither PostgreSQL nor Patroni ends that.

Source: PostgreSQL source, `walreceiverfuncs.c` (RequestXLogStreaming), `xlogrecovery.c`
(StartupRequestWalReceiverRestart).
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
