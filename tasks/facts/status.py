"""What is said in public about the service's availability, as frozen facts."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import AfterValidator, AwareDatetime, Field, model_validator

from tasks.facts.base import Fact
from tasks.plan.crisis import Phase
from tasks.plan.values import Sentence, matching

# What XML cannot carry, and what makes text read otherwise than it is written (bidirectional overrides).
_NEVER_SHOWN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufdd0-\ufdef\ufffe\uffff]")


def _harmless(text: str) -> str:
    """The text with its line ends as newlines, and a mark for each character that is never shown."""
    return _NEVER_SHOWN.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def _in_utc(at: datetime) -> datetime:
    return at.astimezone(UTC)


Language = Annotated[
    str, matching(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}", "a language such as 'en' or 'pt-BR'")
]
PublicText = Annotated[Sentence, AfterValidator(_harmless)]
ByLanguage = Annotated[Mapping[Language, PublicText], Field(min_length=1)]
Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class PublicNotice(Fact):
    """One notice about one incident, in one or more languages.

    Attributes:
        key: the same for the same notice, however often it is published; what was published first stands.
        incident: the incident's id.
        phase: whether the service is disrupted, still is while it is recovered, or is restored.
        at: when it was said.
        subject: one line, by language.
        text: the whole of it, plain, by the same languages.
        next_update: by when the next one is promised.
    """

    key: PublicText
    incident: PublicText
    phase: Phase
    at: Moment
    subject: ByLanguage
    text: ByLanguage
    next_update: Moment | None = None

    @model_validator(mode="after")
    def _same_languages(self) -> Self:
        if self.subject.keys() != self.text.keys():
            raise ValueError("subject and text are not in the same languages")
        return self


class PublicStatus(Fact):
    """Everything that the page shows.

    Attributes:
        as_of: when it was published.
        notices: all that were ever published.
    """

    as_of: Moment
    notices: tuple[PublicNotice, ...] = ()

    @property
    def incidents(self) -> dict[str, tuple[PublicNotice, ...]]:
        """The notices of each incident; the newest first, of incidents and of notices."""
        found: dict[str, list[PublicNotice]] = {}
        for notice in sorted(self.notices, key=lambda notice: (notice.at, notice.key), reverse=True):
            found.setdefault(notice.incident, []).append(notice)
        return {incident: tuple(notices) for incident, notices in found.items()}


class Published(Fact):
    """What became of a publication.

    Attributes:
        taken: the sites whose stores have all of it.
        missed: the sites whose stores do not, with why; the next publication completes them.
        urls: the page in each of these sites' stores.
        mended: the sites whose status.json could not be read, and was written anew.
    """

    taken: tuple[str, ...]
    missed: Mapping[str, str]
    urls: Mapping[str, str]
    mended: tuple[str, ...] = ()
