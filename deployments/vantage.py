"""One vantage: what it saw, what it makes of it, and whom it tells. It starts nothing, and never waits."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from deployments.events import Event
from deployments.outbox import Declaration
from tasks.errors import DrError
from tasks.facts.watch import Finding, Look, Moment, Peers, Record, Rule, Sights, Standing, Suspicion, Told
from tasks.policy.watch import is_settled, next_look, saw, stand
from tasks.policy.watch_agreement import agree, heard, is_due, is_over, suspect, voices
from tasks.policy.watch_words import declared, findings, news, record_of, unheard

_log = logging.getLogger("dr.watch")
_TICK_S = 1.0
# A Prefect that restarts is not worth a word.
_UNHEARD = timedelta(seconds=30)


class Eyes(Protocol):
    """What looks."""

    def look(self, site: str, now: Moment) -> Look:
        """Look at a site."""


class Board(Protocol):
    """Where the vantages tell each other."""

    def read(self, site: str) -> Told:
        """What is known of a site, and of the vantages."""

    def write(self, record: Record) -> None:
        """Tell the others."""

    def suspect(self, suspicion: Suspicion, revision: int) -> None:
        """Write down a loss that is agreed on."""

    def clear(self, revision: int) -> None:
        """Remove a suspicion that has ended."""


class Post(Protocol):
    """What tells Prefect."""

    def tell(self, event: Event) -> None:
        """Send an event."""

    def declare(self, due: Declaration | None) -> None:
        """Declare what is due now, or nothing any more."""

    def run_of(self, key: str) -> str | None:
        """What a declaration started."""

    def failing(self) -> tuple[datetime, str] | None:
        """Since when nothing can be sent, and why."""


class Watch:
    """One vantage."""

    def __init__(  # noqa: PLR0913 -- everything it has to do with, so that a clock and a world can be given
        self,
        vantage: str,
        others: tuple[str, ...],
        site: str,
        rule: Rule,
        eyes: Eyes,
        board: Board,
        post: Post,
        clock: Callable[[], Moment],
    ) -> None:
        """Nothing is asked yet.

        Args:
            vantage: the site it looks from.
            others: the other vantages.
            site: the site that is active, until etcd tells.
            rule: what the plan asks.
            eyes: what looks.
            board: where the vantages tell each other.
            post: what tells Prefect.
            clock: what time it is.
        """
        self.vantage, self._others, self._site, self._rule = vantage, others, site, rule
        self._eyes, self._board, self._post, self._clock = eyes, board, post, clock
        self._told, self._peers = Told(), Peers()
        self.sights, self.standing = Sights(), Standing()
        self.record: Record | None = None
        self._written: Record | None = None

    def look(self) -> None:
        """Look once; over within the plan's timeout."""
        self.take(self._eyes.look(self._site, self._clock()))

    def take(self, look: Look) -> None:
        """Remember a look."""
        self.sights = saw(self.sights, look, self._rule)

    def judge(self) -> None:
        """Read what the others say, judge, tell them, and see whether they agree.

        The own verdict is written before theirs are read: whoever writes last sees all of them.
        """
        told = self._read()
        self._site = told.active or self._site
        if self.sights.newest is None:
            return
        self.standing = stand(self.standing, self.sights, self._told, self._peers, self._rule, self._clock())
        record = self._publish()
        if record and record.verdict == "site_failure":
            told = self._read()
        before = self.standing.agreement
        self._agree(record, told)
        if self.standing.agreement != before:
            self._publish()

    def wait_s(self) -> float:
        """How long until it must judge again, where no look ends before."""
        return _TICK_S if not is_settled(self.sights) else self._rule.interval

    def next_look_s(self) -> float:
        """When it must look again, on its own clock."""
        return next_look(self.sights, self._rule, self._clock().s)

    def _read(self) -> Told:
        """What etcd tells now; an election that passes does not make us forget what it told before."""
        told, now = self._board.read(self.sights.site or self._site), self._clock()
        self._peers = heard(self._peers, told, self._others, self._rule, now.s)
        if told.quorum or now.s - self._peers.read_s > self._rule.interval:
            self._told = told
        return told

    def _agree(self, record: Record | None, told: Told) -> None:
        now = self._clock()
        agreement = record and agree(record, self._peers, self.standing.agreement, self._rule, now.s)
        self.standing = replace(self.standing, agreement=agreement or None)
        with suppress(DrError):  # what etcd does not take now, the next judgement brings again
            if suspicion := suspect(self.standing, told, now):
                self._board.suspect(suspicion, told.suspicion_revision)
            elif record and is_over(record, told):
                self._board.clear(told.suspicion_revision)
        due = is_due(self.standing, told, self._rule, now.s)
        self._post.declare(self._declaration(told, now) if due else None)

    def _declaration(self, told: Told, now: Moment) -> Declaration | None:
        if told.suspicion is None or self.record is None:
            return None
        seeing = [self.record, *voices(self._peers, self._rule, now.s)]
        return Declaration(
            told.suspicion.key,
            {
                "reason": f"{told.active} is lost to every vantage, longer than {self._rule.confirm:.0f} s",
                "detected_at": told.suspicion.detected_at.isoformat(),
                "source": "automated_monitoring",
                "site": told.active,
                "evidence": json.dumps({each.vantage: dict(each.evidence) for each in seeing}),
            },
        )

    def _publish(self) -> Record | None:
        """Tell the others and Prefect what is new."""
        found = (*findings(self.sights, self.standing, self._told, self._peers, self._rule, self._clock().s),
                 *self._own_findings())  # fmt: skip
        record = record_of(self.vantage, self.sights, self.standing, self._told, found)
        if record is None or record == self._written:
            return record
        for each in news(self.record, record):
            _log.warning("%s: %s", each.name, each.detail)
            payload = {"vantage": self.vantage, "name": each.name, "detail": each.detail,
                       "evidence": dict(record.evidence)}  # fmt: skip
            self._post.tell(Event(each.event, f"naas-dr.site.{record.site}", payload))
        self.record = record
        # A record that is not renewed tells the others enough; what etcd does not take now is tried again.
        with suppress(DrError):
            self._board.write(record)
            self._written = record
        return record

    def _own_findings(self) -> Iterator[Finding]:
        failing = self._post.failing()
        if failing and self._clock().day - failing[0] > _UNHEARD:
            yield unheard(*failing)
        run = self._told.suspicion and self._post.run_of(self._told.suspicion.key)
        if run:
            yield declared(run)
