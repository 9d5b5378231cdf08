"""Public notices of an incident, to be changed where a test needs another."""

from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

from tasks.facts.status import PublicNotice, PublicStatus
from tasks.plan.status_page import StatusPage

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
SETTINGS = StatusPage(
    title="Naas status", address="https://status.example.com", contact="Ask support@example.com"
)
_VOID = {"meta", "link", "br", "input", "img", "base"}


def minutes(number):
    return NOON + timedelta(minutes=number)


def notice(key="inc-1/disrupted", **changed):
    fields = {
        "incident": key.partition("/")[0],
        "phase": key.partition("/")[2] or "disrupted",
        "at": NOON,
        "subject": {"en": "Service Disruption - naas-api"},
        "text": {"en": "Orders cannot be placed.\nWe are moving to another region."},
    }
    return PublicNotice(key=key, **fields | changed)


def status(*notices, as_of=None):
    return PublicStatus(as_of=as_of or minutes(60), notices=notices)


class Markup(HTMLParser):
    """A page as a strict reader takes it: its elements with what they hold, and each fault that it has."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.faults, self.words, self._open = [], [], [], []
        self.feed(text)
        self.close()
        self.faults += [f"{tag} is not closed" for tag in self._open]

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        names = [name for name, _ in attrs]
        self.faults += [f"{tag} has {name} twice" for name in set(names) if names.count(name) > 1]
        self.faults += [f"{tag} acts: {name}" for name in names if name.startswith("on") or name == "style"]
        self.faults += [f"{tag} loads {value}" for name, value in attrs if name in {"src", "srcset", "data"}]
        if tag in {"script", "iframe", "object", "embed", "img", "form", "base", "svg"}:
            self.faults.append(f"{tag} stands there")
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        if not self._open or self._open.pop() != tag:
            self.faults.append(f"{tag} closes what is not open")

    def handle_data(self, data):
        if not self._open or self._open[-1] != "style":
            self.words.append(data)

    @property
    def text(self):
        return " ".join("".join(self.words).split())

    def links(self):
        return {attributes["href"] for tag, attributes in self.elements if tag in {"a", "link"}}
