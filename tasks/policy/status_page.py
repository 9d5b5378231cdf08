"""The public status page: what is so, and the page that says it. Pure.

All of it follows from what was said (`PublicStatus`), so the same words give the same bytes.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, Self

from markupsafe import Markup

from tasks.clients.status_store import FEED, STATE
from tasks.facts.status import PublicNotice, PublicStatus
from tasks.plan.plan import Plan
from tasks.plan.status_page import StatusPage
from tasks.plan.values import in_words
from tasks.policy.picture import PAGES

State = Literal["operational", "disrupted", "recovering"]
SHOWN = timedelta(days=90)
# What has just ended is read without another click.
_FRESH = timedelta(days=1)
_HEADLINES: Mapping[State, str] = {
    "operational": "No disruption is reported",
    "disrupted": "The service is disrupted",
    "recovering": "The service is disrupted, and being recovered",
}
_FIRST_LANGUAGE = "en"


def current(status: PublicStatus) -> State:
    """What was said last of each incident, the worst of it."""
    phases = {notices[0].phase for notices in status.incidents.values()}
    if "disrupted" in phases:
        return "disrupted"
    return "recovering" if "update" in phases else "operational"


def promised(status: PublicStatus) -> datetime | None:
    """By when the next notice is promised: the earliest promise that stands."""
    last = [notices[0] for notices in status.incidents.values() if _goes_on(notices)]
    return min((notice.next_update for notice in last if notice.next_update), default=None)


def merged(statuses: Sequence[PublicStatus]) -> PublicStatus:
    """All that several stores, at least one, know between them.

    In any order and however often it is done, it is the same: of notices with one key the earliest stands.
    """
    notices: dict[str, PublicNotice] = {}
    for notice in sorted((each for status in statuses for each in status.notices), key=_precedence):
        notices.setdefault(notice.key, notice)
    newest_first = sorted(notices.values(), key=lambda notice: (notice.at, notice.key), reverse=True)
    return PublicStatus(as_of=max(status.as_of for status in statuses), notices=tuple(newest_first))


def said(known: PublicStatus | None, notice: PublicNotice | None, now: datetime) -> PublicStatus:
    """What is to be published; a notice that is known already changes nothing, not even the time.

    Args:
        known: what the stores know.
        notice: what is said; None where the page is to say only that it still stands.
        now: the time of publication.
    """
    if known and notice and any(each.key == notice.key for each in known.notices):
        return known
    new = PublicStatus(as_of=now, notices=(notice,) if notice else ())
    return merged([known, new]) if known else new


def recent(status: PublicStatus) -> dict[str, tuple[PublicNotice, ...]]:
    """The incidents that go on, and those of the last 90 days before the publication."""
    since = status.as_of - SHOWN
    return {
        incident: notices
        for incident, notices in status.incidents.items()
        if _goes_on(notices) or notices[0].at >= since
    }


def languages(notice: PublicNotice) -> list[str]:
    """A notice's languages, English first."""
    return sorted(notice.subject, key=lambda language: (language != _FIRST_LANGUAGE, language))


def components(plan: Plan, settings: StatusPage) -> Mapping[str, str]:
    """What the page speaks of: the plan's services unless it says otherwise."""
    return settings.components or dict.fromkeys(plan.turns, "")


class _Shown(NamedTuple):
    """An incident as the page shows it."""

    notices: tuple[PublicNotice, ...]
    goes_on: bool
    is_fresh: bool
    lasted: str

    @classmethod
    def of(cls, notices: tuple[PublicNotice, ...], as_of: datetime) -> Self:
        minutes = round((notices[0].at - notices[-1].at).total_seconds() / 60)
        lasted = in_words(timedelta(minutes=max(1, minutes)))
        return cls(notices, _goes_on(notices), notices[0].at >= as_of - _FRESH, lasted)


def page(plan: Plan, settings: StatusPage, status: PublicStatus) -> str:
    """The page itself: no script, and nothing that is loaded from anywhere."""
    shown = [_Shown.of(notices, status.as_of) for notices in recent(status).values()]
    state, style = current(status), PAGES.get_template("status.css.j2").render()
    return PAGES.get_template("status.html.j2").render(
        settings=settings,
        components=components(plan, settings),
        state=state,
        headline=_HEADLINES[state],
        as_of=status.as_of,
        promised=promised(status),
        open=[incident for incident in shown if incident.goes_on],
        closed=[incident for incident in shown if not incident.goes_on],
        older=len(status.incidents) - len(shown),
        days=SHOWN.days,
        languages=languages,
        feed=FEED,
        json=STATE,
        style=Markup(style),  # noqa: S704 -- our own, without a word of anybody's
        style_digest=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
    )


def _goes_on(notices: tuple[PublicNotice, ...]) -> bool:
    return notices[0].phase != "restored"


def _precedence(notice: PublicNotice) -> tuple[datetime, str]:
    return notice.at, notice.model_dump_json()
