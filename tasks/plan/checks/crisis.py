"""Crisis communication: every channel leads somewhere, and nothing is asked for that is not known."""

from collections.abc import Iterator, Mapping

from tasks.plan.communication import KNOWN_AFTER, KNOWN_DURING, Template
from tasks.plan.crisis import OWN_LANGUAGE, PERSONAL, CrisisCommunication
from tasks.plan.mistakes import Mistake
from tasks.plan.sites import Site

_PATH = "crisis_communication"
Sites = Mapping[str, Site]
Crisis = CrisisCommunication | None


def addresses(crisis_communication: Crisis) -> Iterator[Mistake]:
    """Each channel of each audience leads somewhere."""
    crisis = crisis_communication
    if crisis is None:
        return
    for name, audience in crisis.audiences.items():
        for channel in (*audience.channels, *audience.otherwise):
            place = crisis.status_page if channel == "status_page" else getattr(crisis.channels, channel)
            if place is None:
                where = channel if channel == "status_page" else f"channels.{channel}"
                yield Mistake(f"{_PATH}.{where}", f"missing, and {name} is told through it", "its settings")


def status_buckets(crisis_communication: Crisis, sites: Sites) -> Iterator[Mistake]:
    """Whichever site is lost, a status page is left."""
    holding = [name for name, site in sites.items() if site.storage.status_bucket]
    if crisis_communication and crisis_communication.status_page and len(holding) < 2:
        allowed = "`storage.status_bucket` of two sites at least: one may be lost"
        yield Mistake(f"{_PATH}.status_page", f"{len(holding)} sites hold it", allowed)


def words(crisis_communication: Crisis) -> Iterator[Mistake]:
    """A text asks for nothing that is not known when it is said."""
    if crisis_communication is None:
        return
    for path, template, unknown in _templates(crisis_communication):
        for asked in sorted(template.placeholders & unknown):
            yield Mistake(f"{_PATH}.{path}", f"[{asked}] is not known at that moment", "another placeholder")
    for name, filing in crisis_communication.filings.items():
        form = Template(subject="form", template=filing.form)
        for asked in sorted(form.placeholders & (KNOWN_AFTER | KNOWN_DURING)):
            yield Mistake(
                f"{_PATH}.filings.{name}.form", f"[{asked}] is not known then", "another placeholder"
            )


def own_language(crisis_communication: Crisis) -> Iterator[Mistake]:
    """English is the seed's templates' language."""
    if crisis_communication and OWN_LANGUAGE in crisis_communication.translations:
        path = f"{_PATH}.translations.{OWN_LANGUAGE}"
        yield Mistake(path, "the language of communication_templates", "other languages")


def _templates(crisis: CrisisCommunication) -> Iterator[tuple[str, Template, frozenset[str]]]:
    yield "wording.update_notification", crisis.wording.update_notification, KNOWN_AFTER
    for language, wording in crisis.translations.items():
        path = f"translations.{language}"
        yield f"{path}.incident_notification", wording.incident_notification, KNOWN_AFTER
        yield f"{path}.update_notification", wording.update_notification, KNOWN_AFTER
        yield f"{path}.resolution_notification", wording.resolution_notification, KNOWN_DURING


def one_audience(crisis_communication: Crisis) -> Iterator[Mistake]:
    """What everybody can read is said for one audience, whose approval it waits for."""
    if crisis_communication is None:
        return
    owners: dict[str, str] = {}
    for name, audience in crisis_communication.audiences.items():
        for channel in dict.fromkeys((*audience.channels, *audience.otherwise)):
            if channel in PERSONAL:
                continue
            if (owner := owners.setdefault(channel, name)) != name:
                yield Mistake(
                    f"{_PATH}.audiences.{name}",
                    f"{channel} is {owner}'s already",
                    "one audience for each of these",
                )


CHECKS = (addresses, status_buckets, words, own_language, one_audience)
