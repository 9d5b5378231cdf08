"""pgBackRest, run on a database host by the plan's remote shell.

Source: pgBackRest command reference.
"""

import json
import shlex
from typing import Any, Literal

from tasks.clients.layout import Layout
from tasks.clients.remote import run_on
from tasks.errors import Permanent
from tasks.plan.plan import Plan

Kind = Literal["full", "incr"]


def backup(plan: Plan, site: str, host: str, kind: Kind, *, timeout: float) -> None:
    """Take a backup of the cluster that `host` leads, into its site's repository.

    Raises:
        Permanent: pgBackRest failed; its last lines are the detail.
        Transient: the host cannot be reached, or the time is over.
    """
    _run(plan, site, host, "backup", f"--type={kind}", timeout=timeout)


def info(plan: Plan, site: str, host: str, *, timeout: float = 60) -> dict[str, Any]:
    """The stanza as pgBackRest tells it from the site's repository.

    Raises:
        Permanent: pgBackRest failed, or does not know the stanza.
        Transient: the host cannot be reached.
    """
    stanzas = json.loads(_run(plan, site, host, "info", "--output=json", timeout=timeout))
    if not stanzas or stanzas[0]["status"]["code"] not in {0, 2}:
        raise Permanent(f"the repository of {site} has no usable stanza", json.dumps(stanzas)[:500])
    return dict(stanzas[0])


def create_stanza(plan: Plan, site: str, host: str) -> None:
    """Create the stanza in the site's repository; where it exists, check it.

    Raises:
        Permanent: pgBackRest failed.
    """
    _run(plan, site, host, "stanza-create", timeout=120)


def check(plan: Plan, site: str, host: str) -> None:
    """Switch WAL and see the segment arrive in the repository.

    Raises:
        Permanent: it did not arrive.
    """
    _run(plan, site, host, "check", timeout=90)


def _run(plan: Plan, site: str, host: str, *arguments: str, timeout: float) -> str:
    command = shlex.split(Layout.of(plan, site, host).pgbackrest)
    address = str(plan.sites[site].hosts[host].address)
    return run_on(plan, address, [*command, *arguments], timeout=timeout)
