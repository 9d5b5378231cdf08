"""The business: processes that begin somewhere, and tiers that are as good as what depends on them needs."""

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

from tasks.plan.availability import SlaTier
from tasks.plan.business import Process
from tasks.plan.evidence import EvidencePolicy
from tasks.plan.mistakes import Mistake
from tasks.plan.services import FurtherService
from tasks.plan.sites import Service, Site
from tasks.plan.values import in_words

Processes = Mapping[str, Process]
Services = Mapping[str, FurtherService]
Tiers = Mapping[str, SlaTier]


def references(business_impact: Processes, service: Service, services: Services) -> Iterator[Mistake]:
    """Every service and process that is named is there, and none of a later priority is needed."""
    known = (service.name, *services)
    for name, process in business_impact.items():
        for index, wanted in enumerate(process.services):
            if wanted not in known:
                place = f"business_impact.{name}.services.{index}"
                yield Mistake(place, f"there is no service {wanted}", f"one of {', '.join(known)}")
        for index, wanted in enumerate(process.depends_on):
            place = f"business_impact.{name}.depends_on.{index}"
            if wanted not in business_impact:
                others = ", ".join(other for other in business_impact if other != name) or "no other process"
                yield Mistake(place, f"there is no process {wanted}", f"one of {others}")
            elif business_impact[wanted].priority > process.priority:
                wrong = f"{wanted} has the later priority {business_impact[wanted].priority}"
                yield Mistake(place, wrong, f"processes of priority {process.priority} or before")


def circles(business_impact: Processes) -> Iterator[Mistake]:
    """No process needs itself, directly or through others."""
    try:
        TopologicalSorter({name: each.depends_on for name, each in business_impact.items()}).prepare()
    except CycleError as error:
        circle = list(reversed(error.args[1]))
        told = f"a circle: {' needs '.join(circle)}"
        yield Mistake(f"business_impact.{circle[0]}.depends_on", told, "dependencies that begin somewhere")


def promises(
    business_impact: Processes, service: Service, services: Services, sla_tiers: Tiers
) -> Iterator[Mistake]:
    """What a process endures is no shorter than what the tiers of its services promise."""
    tiers = tiers_of(service, services)
    for name, process in business_impact.items():
        for wanted in process.services:
            tier = sla_tiers.get(tiers.get(wanted, ""))
            if tier is None:
                continue
            for endured, promised in (("tolerable_outage", tier.rto), ("tolerable_loss", tier.rpo)):
                if getattr(process, endured) < promised:
                    wrong = f"the {tiers[wanted]} tier of {wanted} promises no less than {in_words(promised)}"
                    yield Mistake(f"business_impact.{name}.{endured}", wrong, "that much, or a better tier")


def tiers(service: Service, services: Services, sla_tiers: Tiers) -> Iterator[Mistake]:
    """A service's tier is there, and no better than those of the services that it needs."""
    names = tiers_of(service, services)
    needs = {service.name: service.depends_on, **{name: each.depends_on for name, each in services.items()}}
    for name, each in services.items():
        if each.tier and each.tier not in sla_tiers:
            told = f"there is no tier {each.tier}"
            yield Mistake(f"services.{name}.tier", told, f"one of {', '.join(sla_tiers)}")
    for name, wanted in ((name, wanted) for name, all_of in needs.items() for wanted in all_of):
        mine, other = sla_tiers.get(names[name]), sla_tiers.get(names.get(wanted, ""))
        if mine and other and (mine.rto < other.rto or mine.rpo < other.rpo):
            place = "service" if name == service.name else f"services.{name}"
            wrong = f"{names[name]} is better than the {names[wanted]} tier of {wanted}, which it needs"
            yield Mistake(f"{place}.tier", wrong, f"a tier that {wanted} can carry, or a better one for it")


def locked_evidence(evidence: EvidencePolicy | None, sites: Mapping[str, Site]) -> Iterator[Mistake]:
    """Evidence is kept where objects can be locked."""
    if evidence is None:
        return
    for name, site in sites.items():
        if site.role == "archive" and not site.storage.object_lock:
            wrong = "no object lock, and evidence is kept there"
            yield Mistake(f"sites.{name}.storage.object_lock", wrong, "a duration such as '30 days'")


def tiers_of(service: Service, services: Services) -> dict[str, str]:
    """The tier of every service; the main one's where a further service has none of its own."""
    return {
        service.name: service.tier,
        **{name: each.tier or service.tier for name, each in services.items()},
    }


CHECKS = (references, circles, promises, tiers, locked_evidence)
