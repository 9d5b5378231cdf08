"""The assessment of an alarm as one page that a tired person understands. Pure."""

from collections.abc import Sequence

from tasks.facts.response import Decision, Impact, Strategy, Vote
from tasks.plan.procedures import Declaration
from tasks.policy.tables import moment, table

_AFTERWARDS = (
    "If declared, {site} takes no more writes until it is brought back as a standby; writes that only it has "
    "are saved then. Nothing else is touched."
)


def impact_page(  # noqa: PLR0913 -- all that a page of an assessment shows
    impact: Impact,
    service: str,
    tier: str,
    declaration: Declaration,
    decision: Decision | None = None,
    order: Sequence[Sequence[str]] = (),
) -> str:
    """The page, in Markdown: the question first, then what it rests on.

    Args:
        impact: the assessment.
        service: the plan's service.
        tier: its tier.
        declaration: who declares, and how long they have.
        decision: what is decided already; None while it is asked for.
        order: every service, in the waves in which they are recovered.
    """
    alarm = impact.alarm
    chosen = impact.recommended
    advice = f"**{_way(chosen)}**: {impact.why}" if chosen else f"**none**: {impact.why}"
    source = alarm.source.replace("_", " ")
    users = "still served" if impact.users_served else "**not served**"
    return "\n\n".join(
        [
            f"# Is {alarm.site} lost?",
            f"{alarm.reason or 'no reason given'} ({source}, detected {moment(alarm.detected_at)} UTC).",
            f"Users of {service} are {users}.",
            f"Decided: {decision_record(decision)}." if decision else _asked(impact, declaration, tier),
            f"Recommended: {advice}.",
            table(("recovery", "loses at most", "usually takes", "against it"), map(_row, impact.strategies)),
            f"What {alarm.site} answers now:",
            table(("part", "state", "detail"), [(c.name, c.state, c.detail) for c in impact.components]),
            *_recovered_in(order),
            _AFTERWARDS.format(site=alarm.site),
            *([f"Evidence: {alarm.evidence}"] if alarm.evidence else []),
        ]
    )


def decision_words(decision: Decision) -> str:
    """A decision in one line: who or what decided, and when."""
    alone = "declared without people: " if decision.outcome == "automatic" else ""
    return f"{alone}{decision.why}, at {moment(decision.at)} UTC"


def decision_record(decision: Decision) -> str:
    """The same, with what those who declared it said."""
    declarers = [vote for vote in decision.votes if vote.decision == "declare" and vote.comment]
    said = "; ".join(f"{vote.commander}: {vote.comment}" for vote in declarers)
    return f"{decision_words(decision)} ({said})" if said else decision_words(decision)


def so_far(votes: Sequence[Vote]) -> str:
    """Who has declared already, where that is not enough; a paragraph, or nothing."""
    names = sorted({vote.commander for vote in votes})
    return f"\n\nDeclared so far: {', '.join(names)}." if names else ""


def _asked(impact: Impact, declaration: Declaration, tier: str) -> str:
    """Who is asked, and until when."""
    needed = declaration.needed(tier)
    who = "One commander" if needed == 1 else f"{needed} commanders"
    until = moment(impact.alarm.raised_at + declaration.deadline)
    return (
        f"{who} must declare by {until} UTC ({_either(declaration.commanders)}); one refusal ends it. "
        "Without an answer nothing is moved."
    )


def _either(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def _recovered_in(order: Sequence[Sequence[str]]) -> list[str]:
    """In which order services come back; nothing to tell of one alone."""
    if sum(map(len, order)) < 2:
        return []
    return [f"The services come back in this order: {', then '.join(' with '.join(each) for each in order)}."]


def _way(strategy: Strategy) -> str:
    source = f" from the backups of {strategy.source}" if strategy.source else ""
    return f"{strategy.kind} {strategy.site}{source}"


def _row(strategy: Strategy) -> tuple[str, ...]:
    lost = "unknown" if strategy.lost_seconds is None else f"{strategy.lost_seconds:.1f} s"
    if strategy.lost_transactions is not None:
        lost += f", {strategy.lost_transactions} transactions"
    took = "never measured" if strategy.expected_seconds is None else f"{strategy.expected_seconds:.1f} s"
    return _way(strategy), lost, took, strategy.against or "nothing"
