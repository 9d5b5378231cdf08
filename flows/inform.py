"""Say outside what is due about a disaster. Source: the seed's "Crisis Communication"."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from prefect import flow
from prefect.futures import PrefectFuture, wait

from tasks.current import current_plan
from tasks.errors import DrError
from tasks.facts.crisis import Crisis, Telling
from tasks.inform import keep_page, pass_over, see_crisis, see_incidents, show_crisis, tell, tell_duty
from tasks.plan.plan import Plan
from tasks.policy.crisis import due, overtaken
from tasks.policy.duties import to_tell
from tasks.speaker import Speaker, speaker

# A mailing may take an hour: meanwhile it is seen so often whether something else is due.
_LOOK_S = 5.0


@dataclass
class _Course:
    """What this run tells at the moment, by incident, audience and channel, and what it did before."""

    speaker: Speaker
    telling: dict[tuple[str, str, str], PrefectFuture[Telling]] = field(default_factory=dict)
    tried: set[tuple[str, str, str]] = field(default_factory=set)
    shown: dict[str, Crisis] = field(default_factory=dict)
    elsewhere: dict[str, str] = field(default_factory=dict)
    told: int = 0
    failures: list[Exception] = field(default_factory=list)

    def about(self, incident: str) -> bool:
        """Whether something about an incident is being told."""
        return any(place[0] == incident for place in self.telling)

    def settle(self) -> bool:
        """Wait a while for what is being told; whether something still is."""
        done = wait(list(self.telling.values()), timeout=_LOOK_S).done
        for place in [place for place, each in self.telling.items() if each in done]:
            try:
                self.telling.pop(place).result()
                self.told += 1
            except Exception as error:  # noqa: BLE001 -- whatever it is, the others are told first
                self.failures.append(error)
        return bool(self.telling)


@flow(persist_result=False)
def inform(incident: str | None = None) -> int | str:
    """Tell customers, partners and the public what is due now, and people here what they owe.

    It is started whenever something is due, and may be started at any time: nothing is told twice. Nothing
    waits for a long mailing but what comes after it, to the same people. Of an incident for which another
    process speaks, it says nothing.

    Args:
        incident: the incident; all that were declared lately where empty, and the status page is published
            as of now.

    Returns:
        how much was told; who speaks instead, where nothing was for that reason.
    """
    plan = current_plan()
    if incident is None:
        keep_page(plan)
    with speaker(plan) as found:
        course = _Course(found)
        try:
            _speak(plan, incident, course)
        finally:
            wait(list(course.telling.values()))  # whatever has failed: the place is kept while they send
    if course.failures:
        raise course.failures[0]
    return course.told or "; ".join(course.elsewhere.values()) or 0


def _speak(plan: Plan, incident: str | None, course: _Course) -> None:
    names = see_incidents(plan, incident)
    while True:
        for name in names:
            _see_to(plan, name, course)
        if not course.telling:
            break
        if course.settle():  # nobody else speaks of the other disasters as long as this run does
            names = list(dict.fromkeys([*names, *see_incidents(plan, None)]))


def _see_to(plan: Plan, name: str, course: _Course) -> None:
    if not _may_speak(name, course):
        return
    crisis = see_crisis(plan, name)  # only now: who had the place before has put all on record
    if crisis is None or _say(plan, crisis, course):
        return
    for duty, stage in to_tell(plan, crisis, datetime.now(UTC)):
        owed = name, duty.key, stage.stage
        if owed not in course.tried:
            course.tried.add(owed)
            try:
                course.speaker.require()
                tell_duty(plan, crisis, duty, stage)
            except DrError as error:
                course.failures.append(error)
    if not course.about(name) and course.shown.get(name) != crisis:
        show_crisis(plan, crisis)
        course.shown[name] = crisis


def _may_speak(name: str, course: _Course) -> bool:
    course.elsewhere.pop(name, None)
    if course.speaker.lost():
        return False
    if holder := course.speaker.other(name):
        course.elsewhere[name] = f"{holder} speaks for {name}"
    return not holder


def _say(plan: Plan, crisis: Crisis, course: _Course) -> bool:
    """Begin the next notice of each audience and channel, side by side; whether there was any."""
    now, begun, name = datetime.now(UTC), False, crisis.incident.id
    for notice, audience, channel in overtaken(plan.crisis, crisis, now):
        if (name, audience, channel) not in course.telling:
            pass_over(plan, crisis, notice, audience, channel)
    for notice, audience, channel in due(plan.crisis, crisis, now):
        if (name, audience, channel) not in course.telling:
            course.telling[name, audience, channel] = tell.submit(
                plan, crisis, notice, audience, channel, course.speaker
            )
            begun = True
    return begun
