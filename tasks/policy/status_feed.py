"""The public status page's feed. Pure. Source: RFC 4287, "The Atom Syndication Format"."""

import uuid
from datetime import datetime
from xml.etree.ElementTree import Element, SubElement, register_namespace, tostring

from tasks.clients.status_store import FEED
from tasks.facts.status import PublicNotice, PublicStatus
from tasks.plan.plan import Plan
from tasks.plan.status_page import StatusPage
from tasks.policy.status_page import languages, recent

_ATOM = "http://www.w3.org/2005/Atom"
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
_NAMES = uuid.uuid5(uuid.NAMESPACE_URL, "urn:naas-dr:status")
register_namespace("", _ATOM)


def feed(plan: Plan, settings: StatusPage, status: PublicStatus) -> bytes:
    """What the page shows, newest first, an entry for each language of each notice."""
    root = Element(f"{{{_ATOM}}}feed")
    base = settings.address.rstrip("/")
    _text(root, "id", _id(plan.service.name))
    _text(root, "title", settings.title)
    _text(root, "updated", _moment(status.as_of))
    _text(_text(root, "author"), "name", settings.title)
    _link(root, "self", f"{base}/{FEED}", "application/atom+xml")
    _link(root, "alternate", f"{base}/", "text/html")
    notices = [notice for each in recent(status).values() for notice in each]
    for notice in sorted(notices, key=lambda notice: (notice.at, notice.key), reverse=True):
        for language in languages(notice):
            _entry(root, plan.service.name, base, notice, language)
    drawn: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return drawn


def _entry(root: Element, service: str, base: str, notice: PublicNotice, language: str) -> None:
    entry = _text(root, "entry")
    entry.set(_LANGUAGE, language)
    _text(entry, "id", _id(service, notice.key, language))
    _text(entry, "title", notice.subject[language], type="text")
    _text(entry, "updated", _moment(notice.at))
    _text(entry, "published", _moment(notice.at))
    _text(entry, "category", term=notice.phase)
    _link(entry, "alternate", f"{base}/", "text/html")
    _text(entry, "content", notice.text[language], type="text")


def _text(parent: Element, name: str, text: str | None = None, **attributes: str) -> Element:
    element = SubElement(parent, f"{{{_ATOM}}}{name}", attributes)
    element.text = text
    return element


def _link(parent: Element, relation: str, address: str, media_type: str) -> None:
    _text(parent, "link", rel=relation, href=address, type=media_type)


def _id(*parts: str) -> str:
    """The same for the same thing, wherever the page is moved."""
    return uuid.uuid5(_NAMES, "\n".join(parts)).urn


def _moment(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
