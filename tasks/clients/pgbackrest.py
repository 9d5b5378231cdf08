"""pgBackRest, run on a database host by the plan's remote shell.

A site's own repository is what its hosts' configuration names. Any other site's copy, the archive's too, is
reached from any database host that answers: the bucket is named on the command line, the credentials go
into the environment of that one process.

Source: pgBackRest command reference and configuration reference.
"""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from tasks.clients.command import Tell
from tasks.clients.layout import Layout
from tasks.clients.pgbackrest_command import Command, own_repository, repository
from tasks.clients.pgbackrest_first import unreadable_first
from tasks.clients.pgbackrest_log import damages_in, is_locked, label_in
from tasks.clients.pgbackrest_texts import damaged_texts
from tasks.clients.repository import ROOT
from tasks.errors import DrError, Permanent, Transient
from tasks.plan.plan import Plan

Kind = Literal["full", "incr"]
# As many backups as pgBackRest can be told to keep.
_ALL = 9999999
# Status codes of a stanza: 0 is good; 1 and 3 mean that the repository does not hold it; 2, no backup yet.
_USABLE, _ABSENT = frozenset({0, 2}), frozenset({1, 3})


def backup(  # noqa: PLR0913 -- a backup is of a host, of a kind, by way of another host
    plan: Plan,
    site: str,
    host: str,
    kind: Kind,
    *,
    timeout: float,
    standby: str | None = None,
    tell: Tell | None = None,
) -> str:
    """Take a backup of the cluster that `host` leads, into its site's repository; nothing expires.

    Args:
        plan: the plan.
        site: the cluster's site.
        host: its leader.
        kind: full or incremental.
        timeout: seconds.
        standby: the host whose files are read and which does the work; the leader itself where None.
        tell: told each line of pgBackRest's log.

    Returns:
        the backup's label.

    Raises:
        Permanent: pgBackRest failed; its last lines are the detail.
        Transient: the host cannot be reached, the time is over, or another backup is being taken there.
    """
    labels: list[str] = []

    def read(line: str) -> None:
        labels.extend(label_in(line))
        if tell:
            tell(line)

    argv = [f"--type={kind}", "--no-expire-auto", "--log-level-console=detail"]
    if standby is not None:
        argv += _from_standby(plan, site, host, standby)
    try:
        own_repository(plan, site, standby or host).follow(["backup", *argv], read, timeout=timeout)
    except Permanent as error:
        raise _passing(error) from error
    if not labels:
        raise Permanent("pgBackRest ended well but told no new backup", f"site {site}")
    return labels[-1]


def info(plan: Plan, site: str, host: str, *, timeout: float = 60) -> dict[str, Any]:
    """The stanza as pgBackRest tells it from the site's own repository.

    Raises:
        Permanent: pgBackRest failed, or does not know the stanza.
        Transient: the host cannot be reached.
    """
    found = _stanza(own_repository(plan, site, host), site, timeout)
    if found is None:
        raise Permanent(f"the repository of {site} has no usable stanza")
    return found


def info_of(plan: Plan, site: str, *, timeout: float = 60) -> dict[str, Any] | None:
    """The stanza as any site's copy tells it; None where that repository does not hold it.

    Raises:
        Permanent: pgBackRest failed, or the repository is damaged.
        Transient: no database host can be reached.
    """
    return _stanza(repository(plan, site, "reader"), site, timeout)


def verify(
    plan: Plan, site: str, *, timeout: float, tell: Tell | None = None, root: str = ROOT
) -> tuple[tuple[str, str], ...]:
    """Read everything in any site's copy and compare it with what was written, both info files included.

    Returns:
        each damaged or missing file, and how it differs. pgBackRest's exit code says nothing about them.

    Raises:
        Permanent: pgBackRest failed.
        Transient: no database host can be reached, or the time is over.
    """
    lines: list[str] = []

    def keep(line: str) -> None:
        lines.append(line)
        if tell:
            tell(line)

    argv = ["verify", "--output=text", "--verbose", "--log-level-console=info", "--log-level-stderr=off"]
    try:
        repository(plan, site, "reader", root=root).follow(argv, keep, timeout=timeout)
    except Permanent as error:
        gave_up = unreadable_first(plan, site, timeout=timeout, root=root)
        if not gave_up:
            raise Permanent(error.message, "\n".join(lines[-5:]) or error.detail, error.hint) from error
        return (*gave_up, *damaged_texts(plan, site, timeout=timeout, root=root))
    return (*damages_in(lines), *damaged_texts(plan, site, timeout=timeout, root=root))


def expire(plan: Plan, site: str, *, sets: Sequence[str], wal_backups: int, timeout: float) -> None:
    """Remove backups, with their WAL, from any site's copy; the only place where anything is removed.

    Args:
        plan: the plan.
        site: whose copy.
        sets: the labels to remove, dependents first.
        wal_backups: of how many of the newest backups all WAL stays.
        timeout: seconds, for each.

    Raises:
        Permanent: pgBackRest failed.
        Transient: no database host can be reached, or a backup is running.
    """
    where = repository(plan, site, "owner")
    _require_idle(plan, site)
    # The plan's days are counted by tasks/policy/retention.py: pgBackRest itself must find nothing to expire.
    keep = ["--repo1-retention-full-type=count", f"--repo1-retention-full={_ALL}"]
    keep += ["--repo1-retention-archive-type=incr"]
    for label in sets:
        # Each run removes WAL too: while backups that are to go are there, N of them reach back too little.
        where.run(["expire", *keep, f"--repo1-retention-archive={_ALL}", f"--set={label}"], timeout=timeout)
    where.run(["expire", *keep, f"--repo1-retention-archive={wal_backups}"], timeout=timeout)


def restore(  # noqa: PLR0913 -- what, from where, to where, until when
    plan: Plan,
    site: str,
    host: tuple[str, str],
    into: Path,
    *,
    label: str | None = None,
    target: datetime | None = None,
    lsn: str | None = None,
    timeout: float,
    tell: Tell | None = None,
) -> None:
    """Restore from any site's copy into a directory of a database host; it is not started.

    Args:
        plan: the plan.
        site: whose copy.
        host: the site and name of a database host.
        into: an empty or missing directory, never Patroni's.
        label: the backup; that which `target` needs, or the newest, where None.
        target: the moment to recover to; without one, the backup's own end where a label is given, and
            the newest moment that the WAL gives where none is.
        lsn: the WAL position to recover up to, without what is written there.
        timeout: seconds.
        tell: told each line of pgBackRest's log.

    Raises:
        Permanent: pgBackRest failed.
        Transient: the host cannot be reached, or the time is over.
    """
    argv = [f"--pg1-path={into}", "--archive-mode=off", "--log-level-console=detail"]
    argv += [f"--set={label}"] if label else []
    if target is not None:
        argv += ["--type=time", f"--target={target.isoformat(sep=' ')}", "--target-action=promote"]
    elif lsn is not None:
        argv += ["--type=lsn", f"--target={lsn}", "--target-exclusive", "--target-action=promote"]
    elif label:
        argv += ["--type=immediate", "--target-action=promote"]
    where = repository(plan, site, "reader", at=host)
    try:
        where.follow(["restore", *argv], tell or (lambda _: None), timeout=timeout)
    except Permanent as error:
        raise _passing(error) from error


def create_stanza(plan: Plan, site: str, host: str) -> None:
    """Create the stanza in the site's repository; where it exists, check it.

    Raises:
        Permanent: pgBackRest failed.
    """
    own_repository(plan, site, host).run(["stanza-create"], timeout=120)


def check(plan: Plan, site: str, host: str) -> None:
    """Switch WAL and see the segment arrive in the repository.

    Raises:
        Permanent: it did not arrive.
    """
    own_repository(plan, site, host).run(["check"], timeout=90)


def running_backup(plan: Plan, site: str) -> str | None:
    """The host of a site on which pgBackRest takes a backup now; None where none does.

    Raises:
        Permanent: pgBackRest failed on a host. One that does not answer runs no backup that could go on.
    """
    hosts = list(plan.sites[site].running("postgres"))
    if not hosts:
        return None
    with ThreadPoolExecutor(len(hosts)) as pool:
        busy = pool.map(lambda host: _is_busy(plan, site, host), hosts)
        return next((host for host, is_busy in zip(hosts, busy, strict=True) if is_busy), None)


def _is_busy(plan: Plan, site: str, host: str) -> bool:
    try:
        found = _stanza(own_repository(plan, site, host), site, 30)
    except Transient:
        return False
    return bool(found and found["status"]["lock"]["backup"]["held"])


def _passing(error: Permanent) -> DrError:
    """Another pgBackRest at the same work is a reason to wait: it goes on when the run that began it dies."""
    if not is_locked(error.detail):
        return error
    return Transient("another pgBackRest is at work there", error.detail, "it ends by itself")


def _require_idle(plan: Plan, site: str) -> None:
    if busy := running_backup(plan, site):
        raise Transient(f"a backup of {site} is being taken", f"on {busy}", "wait for it to end")


def _stanza(where: Command, site: str, timeout: float) -> dict[str, Any] | None:
    stanzas = json.loads(where.run(["info", "--output=json"], timeout=timeout))
    code = stanzas[0]["status"]["code"] if stanzas else 1
    if code in _ABSENT:
        return None
    if code not in _USABLE:
        raise Permanent(f"the repository of {site} has no usable stanza", json.dumps(stanzas)[:500])
    return dict(stanzas[0])


def _from_standby(plan: Plan, site: str, leader: str, standby: str) -> list[str]:
    """The leader as the remote first server, the standby itself as the local second one."""
    theirs, ours = Layout.of(plan, site, leader), Layout.of(plan, site, standby)
    return [
        "--backup-standby",
        f"--pg1-host={plan.sites[site].hosts[leader].address}",
        f"--pg1-host-config-path={theirs.root / 'etc/pgbackrest'}",
        f"--pg1-path={theirs.data_dir}",
        f"--pg1-socket-path={theirs.root / 'run/postgresql'}",
        f"--pg2-path={ours.data_dir}",
        f"--pg2-socket-path={ours.root / 'run/postgresql'}",
    ]
