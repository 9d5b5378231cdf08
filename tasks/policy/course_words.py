"""How far a recovery has come, in words that fit one glance. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tasks.facts.incident import Incident


@dataclass(frozen=True, slots=True)
class Stand:
    """Where one step of a recovery stands.

    Attributes:
        state: whether it is still to come, runs, or is done.
        trouble: why its last try failed; empty where none did.
    """

    state: Literal["to come", "under way", "done"] = "to come"
    trouble: str = ""


def share_done(steps: Mapping[str, Stand]) -> float:
    """The share of a recovery's steps that is done."""
    return len(_of(steps, "done")) / len(steps) if steps else 0.0


def course_words(incident: Incident, steps: Mapping[str, Stand]) -> str:
    """Where a recovery is: what runs, what comes next, and what does not succeed at once.

    Args:
        incident: the recovery.
        steps: its steps by title, in order.
    """
    parts = [f"**{_count(steps)}**, {incident.failed_site} to {incident.to_site}."]
    if running := _of(steps, "under way"):
        parts.append(f"Now: {', '.join(_running(title, steps[title].trouble) for title in running)}.")
    if coming := _of(steps, "to come"):
        parts.append(f"Next: {coming[0]}.")
    return " ".join(parts)


def done_words(incident: Incident, steps: Mapping[str, Stand]) -> str:
    """The same once all is done."""
    count = len(_of(steps, "done"))
    return f"**All {count} steps done**: {incident.to_site} serves the users. The report follows."


def stopped_words(incident: Incident, steps: Mapping[str, Stand], why: str) -> str:
    """The same once it has failed, and how it goes on."""
    at = ", ".join(_of(steps, "under way")) or "its end"
    return (
        f"**Stopped at {at}**: {why}. {_count(steps)}. To go on, run this deployment again with the "
        f"incident {incident.id}; what is done is looked at and not repeated."
    )


def _of(steps: Mapping[str, Stand], state: str) -> Sequence[str]:
    return [title for title, stand in steps.items() if stand.state == state]


def _count(steps: Mapping[str, Stand]) -> str:
    return f"{len(_of(steps, 'done'))} of {len(steps)} steps done"


def _running(title: str, trouble: str) -> str:
    return f"{title} (tried again: {trouble})" if trouble else title
