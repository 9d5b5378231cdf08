"""Tell one notice to everybody who has subscribed: each once, however many, whatever the provider answers.

People are told in small batches. A record goes before each batch and another after it, which holds digests of
addresses and no address. A run that is started again sends nothing to whom the second names; of a batch that
has only the first, nobody knows whom it reached: those few are told again, under the same Message-ID.

A channel that refuses one message among others has refused a person, who is not asked for again. One that
refuses everybody, as with a key that was withdrawn, has refused us: they are told once it is mended.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from tasks.clients.channels.failures import Busy, Undeliverable
from tasks.clients.public.speaking import send
from tasks.clients.public.subscribers import Subscriber, subscribers
from tasks.clients.public.wording import checked
from tasks.clients.public.words import Words
from tasks.clients.telemetry.threads import Threads
from tasks.crisis_record import person, read_batches, record_telling, write_batch
from tasks.errors import DrError, Permanent, Refused, Transient
from tasks.facts.crisis import Batch, Crisis, Notice, Outcome, Telling
from tasks.plan.crisis import OWN_LANGUAGE, PersonalChannel
from tasks.plan.plan import Plan
from tasks.policy.crisis_words import words_of
from tasks.progress import shown
from tasks.speaker import Speaker

_BATCH, _WORKERS = 16, 8
# How long one person's message is tried anew; a batch takes twice that, and twice a channel's longest answer.
_PATIENCE_S, _PAUSE_S = 20.0, 0.2
# A provider that has taken nothing of so many batches is left alone until the next run.
_DEAD_AFTER = 2


@dataclass
class _Audience:
    """Who is told what, how far it is, and until when the provider asks to be left alone."""

    plan: Plan
    crisis: Crisis
    notice: Notice
    name: str
    channel: PersonalChannel
    reference: str
    speaker: Speaker
    number: int = 0
    told: set[str] = field(default_factory=set)
    refused: int = 0
    works: bool = False
    trouble: str = ""
    not_before: float = 0.0
    words: dict[tuple[str, str], Words] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def place(self) -> tuple[str, str, PersonalChannel]:
        return self.notice.key, self.name, self.channel

    def words_for(self, subscriber: Subscriber) -> Words:
        key = subscriber.language, subscriber.zone
        with self.lock:
            if key not in self.words:
                self.words[key] = self._fit_words(*key)
            return self.words[key]

    def _fit_words(self, language: str, zone: str) -> Words:
        """Their own language's; where those cannot be said, at least the plan's."""
        words = words_of(self.plan, self.crisis, self.notice, language, zone)
        try:
            checked(words)
        except Refused:
            return words_of(self.plan, self.crisis, self.notice, OWN_LANGUAGE, zone)
        return words


def tell_people(  # noqa: PLR0913 -- who tells what to whom
    plan: Plan, crisis: Crisis, notice: Notice, audience: str, channel: PersonalChannel, speaker: Speaker
) -> Telling:
    """Tell everybody who was not told yet.

    Returns:
        what became of it: "sent" once nobody is left; whom the provider refuses is counted in its detail.

    Raises:
        Permanent: the subscribers cannot be read.
        Silenced: another process may speak by now; the rest is its.
        Transient: no store takes the records.
    """
    reference = plan.crisis.audiences[audience].subscribers
    if reference is None:
        raise Permanent(f"{audience} has no subscribers", hint="see crisis_communication.audiences")
    state = _Audience(plan, crisis, notice, audience, channel, reference, speaker)
    _remember(state)
    total = sum(1 for _ in subscribers(plan, reference, channel))
    with shown(f"{notice.key} to {audience} by {channel}") as told:
        silent = 0
        for people in _batches(state):
            before = len(state.told)
            _tell_batch(state, people)
            told(len(state.told), total)
            silent = 0 if len(state.told) > before else silent + 1
            if silent >= _DEAD_AFTER:
                break
    return _telling(state, total)


def _remember(state: _Audience) -> None:
    """What earlier runs did."""
    for batch in read_batches(state.plan, state.crisis.incident.id, state.place):
        state.number += 1
        if batch.ended:
            state.told |= set(batch.recipients) - set(batch.left)
            state.refused += len(batch.refused)


def _batches(state: _Audience) -> Iterator[list[Subscriber]]:
    everybody = subscribers(state.plan, state.reference, state.channel)
    untold = (each for each in everybody if person(each.address) not in state.told)
    while people := list(islice(untold, _BATCH)):
        yield people


def _tell_batch(state: _Audience, people: list[Subscriber]) -> None:
    state.speaker.require()
    state.number += 1
    names = tuple(person(each.address) for each in people)
    write_batch(state.plan, state.crisis.incident, state.place, state.number, Batch(recipients=names))
    with Threads(_WORKERS) as workers:
        answers = dict(zip(names, workers.map(lambda each: _tell_one(state, each), people), strict=True))
    refused = _refused(state, answers)
    left = {name: answer.seen for name, answer in answers.items() if answer and name not in refused}
    state.trouble = next(iter(left.values()), state.trouble)
    ended = Batch(recipients=names, ended=True, left=tuple(left), refused=refused)
    write_batch(state.plan, state.crisis.incident, state.place, state.number, ended)
    _record(state, "sending", "")
    state.told |= set(names) - set(left)
    state.refused += len(refused)


def _refused(state: _Audience, answers: Mapping[str, DrError | None]) -> dict[str, str]:
    """Whom the channel will never tell. What it refuses to all of a batch is no matter of theirs."""
    alone = len(answers) == 1  # the last of them says nothing of the channel by himself
    state.works = None in answers.values() or (alone and state.works)
    never = Permanent if state.works else Undeliverable
    return {name: str(answer) for name, answer in answers.items() if isinstance(answer, never)}


def _tell_one(state: _Audience, subscriber: Subscriber) -> DrError | None:
    deadline, pause = time.monotonic() + _PATIENCE_S, _PAUSE_S
    while True:
        time.sleep(max(0.0, state.not_before - time.monotonic()))
        try:
            state.speaker.require()
            send(state.plan, state.channel, state.words_for(subscriber), subscriber.address)
        except Transient as error:
            wait = error.seconds if isinstance(error, Busy) else pause
            if time.monotonic() + wait >= deadline:
                return error
            if isinstance(error, Busy):  # it asks for all, not for this one message
                state.not_before = max(state.not_before, time.monotonic() + wait)
            time.sleep(wait)
            pause *= 2
        except DrError as error:
            return error
        else:
            return None


def _telling(state: _Audience, total: int) -> Telling:
    # Who has left the list since an earlier run is no longer counted, though told.
    left = sum(len(people) for people in _batches(state))
    if left > 0:
        why = f": {state.trouble}" if state.trouble else ""
        return _record(state, "failed", f"{left} of {total} are not told yet{why}")
    return _record(state, "sent", f"{state.refused} of {total} were refused" if state.refused else "")


def _record(state: _Audience, outcome: Outcome, detail: str) -> Telling:
    people = len(state.told) - state.refused
    return record_telling(state.plan, state.crisis.incident, state.place, outcome, detail, people)
