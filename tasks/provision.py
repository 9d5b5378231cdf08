"""Activate the infrastructure of the site that is recovered. Source: seed, "infrastructure_activation"."""

import shlex
import time
from functools import partial

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.clients import cloudformation
from tasks.clients.command import run
from tasks.clients.parallel import ask_all
from tasks.clients.remote import run_on
from tasks.errors import DrError, Permanent, Transient
from tasks.facts.cold import Infrastructure
from tasks.facts.incident import Incident
from tasks.plan.plan import Plan
from tasks.step import step

# EX_TEMPFAIL, as sysexits.h has it.
_TRY_AGAIN = "exit 75"
_HOURS = 2 * 3600.0
_POLL_S = 1.0
_ANSWER_S = 15.0


@step("activate infrastructure", deadline_s=_HOURS)
def activate_infrastructure(plan: Plan, incident: Incident) -> Infrastructure:
    """Let the plan's provisioner bring the site's hosts up, where it has one; then see that they are there.

    Returns:
        what did it, and the database host that is restored to: the first that answers.

    Raises:
        Permanent: the provisioner failed, or no database host answers in time.
        Transient: the provisioner may succeed later.
    """
    given = plan.recovery.infrastructure
    how, outputs = "", dict[str, str]()
    if given and given.cloudformation:
        outputs = cloudformation.activate(plan, incident.to_site, timeout=given.timeout.total_seconds())
        how = f"CloudFormation stack {cloudformation.name_of(plan, incident.to_site)}"
    elif given and given.command:
        argv = [word.format(site=incident.to_site) for word in shlex.split(given.command)]
        _run(argv, given.timeout.total_seconds())
        how = argv[0]
    patience_s = given.timeout.total_seconds() if given else 0.0
    host = _until_answered(plan, incident.to_site, patience_s)
    return Infrastructure(how=how, host=host, outputs=outputs)


@task(name="look for a database host", cache_policy=NO_CACHE)
def host_at_hand(plan: Plan, incident: Incident) -> Infrastructure | None:
    """The database host that can be restored to while the rest of its site is activated.

    Returns:
        the first, where all of them answer; None where one does not, or where an earlier run has chosen.
    """
    if incident.resumed:
        return None
    hosts = plan.sites[incident.to_site].running("postgres")
    answering = _answering(plan, incident.to_site)
    return Infrastructure(how="", host=answering[0]) if len(answering) == len(hosts) else None


def _run(argv: list[str], timeout: float) -> None:
    try:
        run(argv, timeout=timeout)
    except Permanent as error:
        if error.detail.startswith(_TRY_AGAIN):
            raise Transient("the infrastructure cannot be activated now", error.detail) from error
        raise


def _until_answered(plan: Plan, site: str, patience_s: float) -> str:
    """The first database host, once all of them answer; at the end, the first that does."""
    deadline = time.monotonic() + patience_s
    while True:
        hosts, answering = plan.sites[site].running("postgres"), _answering(plan, site)
        if len(answering) == len(hosts) or (answering and time.monotonic() > deadline):
            return answering[0]
        if time.monotonic() > deadline:
            hint = "activate the site's infrastructure, then resume the incident"
            raise Permanent(f"no database host of {site} answers", ", ".join(hosts), hint)
        time.sleep(_POLL_S)


def _answering(plan: Plan, site: str) -> list[str]:
    hosts = plan.sites[site].running("postgres").items()
    asked = {name: partial(_answers, plan, str(host.address)) for name, host in hosts}
    return [name for name, answer in ask_all(asked, 2 * _ANSWER_S).items() if answer is True]


def _answers(plan: Plan, address: str) -> bool:
    try:
        run_on(plan, address, ["true"], timeout=_ANSWER_S)
    except DrError:
        return False
    return True
