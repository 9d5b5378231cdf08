"""What validation names must be there: hosts, secrets, programs, and steps with names of their own."""

from collections.abc import Iterator, Mapping

from tasks.plan.mistakes import Mistake
from tasks.plan.sites import Secrets, Site
from tasks.plan.validation import RecoveryValidation

Sites = Mapping[str, Site]


def steps_once(validation: RecoveryValidation) -> Iterator[Mistake]:
    """No step of the workflow has another's name."""
    seen: set[str] = set()
    for index, step in enumerate(validation.workflow):
        if step.name in seen:
            path = f"validation.workflow.{index}.name"
            yield Mistake(path, f"{step.name} is named before", "a name of its own")
        seen.add(step.name)


def programs(validation: RecoveryValidation, sites: Sites) -> Iterator[Mistake]:
    """A command's program runs in each site that can be active."""
    named = [(f"workflow.{index}", step) for index, step in enumerate(validation.workflow)]
    for path, probe in [*named, *((f"checks.{name}", check) for name, check in validation.checks.items())]:
        for site in sites.values():
            if probe.command and site.role != "archive" and not site.running(probe.command.program):
                where, wrong = (
                    f"validation.{path}.command.program",
                    f"no host of the {site.role} site runs it",
                )
                yield Mistake(where, wrong, "a program that both the primary and the dr site run")


def listeners(validation: RecoveryValidation, sites: Sites) -> Iterator[Mistake]:
    """Ports are allowed on hosts that exist."""
    hosts = {host for site in sites.values() for host in site.hosts}
    for host in validation.security.listeners:
        if host not in hosts:
            yield Mistake(f"validation.security.listeners.{host}", "no such host", "a host of the plan")


def scan(validation: RecoveryValidation) -> Iterator[Mistake]:
    """The scanned range is one."""
    if validation.security.scan.last < validation.security.scan.first:
        yield Mistake("validation.security.scan.last", "before the first", "the first or a later one")


def rotated(validation: RecoveryValidation) -> Iterator[Mistake]:
    """What must be rotated is a secret of the plan, once."""
    for index, name in enumerate(validation.security.rotated_after_incident):
        path = f"validation.security.rotated_after_incident.{index}"
        if name not in Secrets.model_fields:
            yield Mistake(
                path, f"{name} is no secret of the plan", f"one of {', '.join(Secrets.model_fields)}"
            )
        if name in validation.security.rotated_after_incident[:index]:
            yield Mistake(path, f"{name} is named before", "each secret once")


CHECKS = (steps_once, programs, listeners, scan, rotated)
