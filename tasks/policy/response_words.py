"""The assessment of an alarm as one page that a tired person understands. Pure."""

from tasks.facts.response import Decision, Impact, Strategy
from tasks.policy.tables import moment, table

_AFTERWARDS = (
    "If declared, {site} takes no more writes until it is brought back as a standby; writes that only it has "
    "are saved then. Nothing else is touched."
)


def impact_page(impact: Impact, service: str, needed: int) -> str:
    """The page, in Markdown: the question first, then what it rests on."""
    alarm = impact.alarm
    chosen = impact.recommended
    advice = f"**{_way(chosen)}**: {impact.why}" if chosen else f"**none**: {impact.why}"
    who = "one commander" if needed == 1 else f"{needed} commanders"
    source = alarm.source.replace("_", " ")
    users = "still served" if impact.users_served else "**not served**"
    return "\n\n".join(
        [
            f"# Is {alarm.site} lost?",
            f"{alarm.reason or 'no reason given'} ({source}, detected {moment(alarm.detected_at)} UTC).",
            f"Users of {service} are {users}. {who.capitalize()} must declare.",
            f"Recommended: {advice}.",
            table(("recovery", "loses at most", "usually takes", "against it"), map(_row, impact.strategies)),
            f"What {alarm.site} answers now:",
            table(("part", "state", "detail"), [(c.name, c.state, c.detail) for c in impact.components]),
            _AFTERWARDS.format(site=alarm.site),
            *([f"Evidence: {alarm.evidence}"] if alarm.evidence else []),
        ]
    )


def decision_words(decision: Decision) -> str:
    """A decision in one line."""
    return f"{decision.outcome} at {moment(decision.at)} UTC: {decision.why}"


def _way(strategy: Strategy) -> str:
    source = f" from the backups of {strategy.source}" if strategy.source else ""
    return f"{strategy.kind} {strategy.site}{source}"


def _row(strategy: Strategy) -> tuple[str, ...]:
    lost = "unknown" if strategy.lost_seconds is None else f"{strategy.lost_seconds:.1f} s"
    if strategy.lost_transactions is not None:
        lost += f", {strategy.lost_transactions} transactions"
    took = "never measured" if strategy.expected_seconds is None else f"{strategy.expected_seconds:.1f} s"
    return _way(strategy), lost, took, strategy.against or "nothing"
