"""What is said and asked in the annual exercise. Pure."""

from collections.abc import Iterator, Sequence

from tasks.clients.channels.message import Message, Stage
from tasks.facts.drill import Drill
from tasks.plan.plan import Plan
from tasks.plan.values import in_words

_MARK = "EXERCISE EXERCISE EXERCISE"


def announcement(plan: Plan, drill: Drill, stage: Stage) -> Message:
    """A message that nobody can take for a real one."""
    what = "has ended" if stage == "recovered" else "begins now"
    name = plan.service.name
    return Message(
        stage=stage,
        severity="info",
        incident=drill.id,
        subject=f"{_MARK}: the continuity exercise of {name} {what}",
        text=f"{_MARK}\n\nThis is a rehearsal; nothing is lost. The continuity exercise {drill.id} of {name} "
        f"{what}: {drill.reason}. Whoever it names a part for answers in the Prefect UI.\n\n{_MARK}",
        dedup_key=drill.id,
    )


def stakeholders(plan: Plan, absent: str) -> tuple[str, ...]:
    """Everybody who has a part: the owners of business processes, and the commanders; less who is away."""
    owners = [process.owner for process in plan.business_impact.values()]
    return tuple(dict.fromkeys(who for who in (*owners, *plan.declaration.commanders) if who != absent))


def process_questions(plan: Plan, absent: str) -> Iterator[tuple[str, str, Sequence[str]]]:
    """For each process, whether it goes on at the other site, and how without it: key, text, who is asked."""
    for name, process in plan.business_impact.items():
        without = process.workaround or "nobody has said how"
        needs = "; ".join(process.resources)
        text = (
            f"The service is at the other site now. Does this go on: {process.description}? "
            f"Would you do without it for {in_words(process.tolerable_outage)} ({without}), with {needs}?"
        )
        who = process.owner if process.owner != absent else plan.declaration.commanders[0]
        yield f"process-{name}", text, (who,)


def inject_questions(plan: Plan, people: Sequence[str]) -> Iterator[tuple[str, str, Sequence[str]]]:
    """For each inject of the plan, whether those who command would know what to do."""
    commanders = [who for who in plan.declaration.commanders if who in people]
    for number, inject in enumerate(plan.drills.exercise.injects, 1):
        text = f"{inject} Do you know what to do, and who does it? Say it in the comment."
        yield f"inject-{number}", text, commanders
