"""The business: processes that begin somewhere, and tiers that are as good as what depends on them needs."""

from collections.abc import Iterator, Mapping

from tasks.plan.availability import SlaTier
from tasks.plan.business import Process
from tasks.plan.checks.services import place_of, turns_of
from tasks.plan.checks.turns import Noun, circle_in, dependencies_of
from tasks.plan.evidence import EvidencePolicy
from tasks.plan.mistakes import Mistake
from tasks.plan.services import FurtherService, Turn
from tasks.plan.sites import Service, Site
from tasks.plan.values import in_words

Processes = Mapping[str, Process]
Services = Mapping[str, FurtherService]
Tiers = Mapping[str, SlaTier]


def services_needed(business_impact: Processes, service: Service, services: Services) -> Iterator[Mistake]:
    """Every service that a process needs is there."""
    known = (service.name, *services)
    for name, process in business_impact.items():
        for index, wanted in enumerate(process.services):
            if wanted not in known:
                place = f"{_place(name)}.services.{index}"
                yield Mistake(place, f"there is no service {wanted}", f"one of {', '.join(known)}")


def dependencies(business_impact: Processes) -> Iterator[Mistake]:
    """Each dependency is another process, once, and never of a later priority."""
    yield from dependencies_of(_turns(business_impact), _place, Noun("process", "processes"))


def circles(business_impact: Processes) -> Iterator[Mistake]:
    """No process needs itself, directly or through others."""
    yield from circle_in(_turns(business_impact), _place)


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
                    yield Mistake(f"{_place(name)}.{endured}", wrong, "that much, or a better tier")


def tiers(service: Service, services: Services, sla_tiers: Tiers) -> Iterator[Mistake]:
    """A service's tier is there, and no better than those of the services that it needs."""
    names, turns = tiers_of(service, services), turns_of(service, services)
    for name, each in services.items():
        if each.tier and each.tier not in sla_tiers:
            told = f"there is no tier {each.tier}"
            yield Mistake(f"services.{name}.tier", told, f"one of {', '.join(sla_tiers)}")
    for name, wanted in ((name, wanted) for name, turn in turns.items() for wanted in turn.depends_on):
        mine, other = sla_tiers.get(names[name]), sla_tiers.get(names.get(wanted, ""))
        if mine and other and (mine.rto < other.rto or mine.rpo < other.rpo):
            wrong = f"{names[name]} is better than the {names[wanted]} tier of {wanted}, which it needs"
            allowed = f"a tier that {wanted} can carry, or a better one for it"
            yield Mistake(f"{place_of(service, name)}.tier", wrong, allowed)


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


def _turns(business_impact: Processes) -> dict[str, Turn]:
    return {name: process.turn for name, process in business_impact.items()}


def _place(name: str) -> str:
    return f"business_impact.{name}"


CHECKS = (services_needed, dependencies, circles, promises, tiers, locked_evidence)
