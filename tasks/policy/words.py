"""Reports in words: Markdown for the UI."""

from collections.abc import Iterable
from datetime import timedelta

from tasks.facts.communication import Delivery
from tasks.facts.incident import StepRecord
from tasks.facts.loss import LedgerCount, Loss
from tasks.facts.replay import Replay
from tasks.facts.report import Phases, Report
from tasks.facts.restored import ColdRestore
from tasks.facts.services import Activation
from tasks.policy.fence_words import fence_attempts, fence_notice, fence_rows
from tasks.policy.tables import table


def report_markdown(report: Report) -> str:
    """The report of an incident as one page."""
    parts = (
        f"# {report.incident}",
        *fence_notice(report),
        summary(report, strong="**"),
        *_next(report),
        table(("what", "measured"), measured(report)),
        *fence_attempts(report.fence),
        steps_markdown(report.steps),
    )
    return "\n\n".join(parts)


def measured(report: Report) -> list[tuple[str, str]]:
    """Everything that was measured or decided, each with its name."""
    took, targets = report.rto_seconds, report.targets
    rows = [
        ("verdict", report.verdict),
        ("kind", report.kind),
        ("from, to", f"{report.failed_site}, {report.to_site} (epoch {report.epoch})"),
        ("reason", report.reason or "not given"),
        *([("declared", report.declared)] if report.declared else []),
        ("RTO", f"{took.total:.1f} s of {targets.rto_seconds:.0f} s ({targets.tier})"),
        ("detect, decide, execute, verify", phase_words(took)),
        *_pause_rows(report.write_pause_seconds),
        ("RPO", f"{loss_words(report.rpo)}, of {targets.rpo_seconds:.0f} s allowed"),
        *fence_rows(report),
        ("first order served", f"{report.first_write_at:%Y-%m-%d %H:%M:%S.%f} UTC"),
        ("ledger", _ledger_words(report.ledger)),
        *([("archived WAL", replay_words(report.replay))] if report.replay else []),
        *_service_rows(report.services),
        *_settling(report.steps),
        ("told", _told_words(report.told)),
    ]  # fmt: skip
    return rows + (_restored(report.restored) if report.restored else [])


def summary(report: Report, *, strong: str = "") -> str:
    """What happened, in two sentences; `strong` is put around the verdict."""
    source, to = report.failed_site, report.to_site
    if report.kind == "switchover":
        moved = f"{to} took over from {source} as planned"
    else:
        moved = f"{to} took over from {source}, which was lost"
    took = f"{report.rto_seconds.total:.1f} s of {report.targets.rto_seconds:.0f} s"
    return (
        f"{moved}. Objectives of the {report.targets.tier} tier: {strong}{report.verdict}{strong} ({took})."
    )


def _next(report: Report) -> list[str]:
    """What is left to do, where something is."""
    if report.kind != "failover" or report.divergence:
        return []
    what = (
        f"Next: once {report.failed_site} is there again, start `bring-back`. It saves what only "
        f"{report.failed_site} has, makes it a standby, and puts the exact loss into this report."
    )
    return [what]


def _pause_rows(seconds: float | None) -> list[tuple[str, str]]:
    return [] if seconds is None else [("writes paused", f"{seconds:.1f} s")]


def _service_rows(services: Iterable[Activation]) -> list[tuple[str, str]]:
    """A row a wave; none for reports of before there were any."""
    found: dict[int, list[str]] = {}
    for each in services:
        found.setdefault(each.wave, []).append(_service_words(each))
    return [(f"services, wave {wave}", "; ".join(words)) for wave, words in found.items()]


def _service_words(each: Activation) -> str:
    absent = "".join(f", not on {host}: {why}" for host, why in each.absent.items())
    return f"{each.service} at {each.at:%H:%M:%S} UTC{absent}"


def loss_words(loss: Loss) -> str:
    """A loss in words, its basis included."""
    if loss.lost_seconds is None:
        return "unknown: the old primary was never observed"
    if loss.basis == "bound":
        return f"at most {loss.lost_transactions} transactions, {loss.lost_seconds:.1f} s (bound)"
    apart = f", {loss.unacknowledged} unacknowledged apart" if loss.unacknowledged else ""
    return f"{loss.lost_transactions} transactions, {loss.lost_seconds:.1f} s (exact{apart})"


def phase_words(took: Phases) -> str:
    """The phases of an outage, without their names."""
    return ", ".join(f"{seconds:.1f} s" for seconds in (took.detect, took.decide, took.execute, took.verify))


def replay_words(replay: Replay) -> str:
    """What became of the archived WAL that the standby lacked; what is left of it comes first."""
    told = []
    if replay.left:
        told.append(f"NOT REPLAYED: {_segments(replay.left)} known to exist")
    if replay.replayed:
        given = f", {replay.copied} of them from {', '.join(replay.sources)}" if replay.copied else ""
        told.append(
            f"{_segments(replay.replayed)} replayed{given}, from {replay.from_lsn} to {replay.standby_lsn}"
            f" in {replay.seconds:.1f} s"
        )
    elif not replay.left:
        told.append("nothing replayed")
    return "; ".join([*told, *([replay.why] if replay.why else [])])


def _segments(count: int) -> str:
    return "1 segment" if count == 1 else f"{count} segments"


def _restored(told: ColdRestore) -> list[tuple[str, str]]:
    asked = f"{told.target:%Y-%m-%d %H:%M:%S} UTC" if told.target else "the newest moment"
    return [
        ("restored from", f"{told.source}, its newest WAL {told.newest_wal}, {told.bytes / 1e6:,.1f} MB"),
        ("recovered to", f"{asked}: LSN {told.lsn} of timeline {told.timeline}, last commit {told.reached}"),
        ("restore, recover", f"{told.restore_s:.1f} s, {told.recover_s:.1f} s"),
        ("set aside", ", ".join(told.kept) or "nothing was there"),
        ("infrastructure", told.infrastructure or "was there"),
        ("also restored", "; ".join(told.returned) or "nothing else was gone"),
        ("looked through", told.checked or "not yet"),
    ]


def _ledger_words(count: LedgerCount | None) -> str:
    if not count:
        return "none in the plan"
    earlier = f", {count.before} of them since an earlier incident" if count.before else ""
    return f"{count.acknowledged} acknowledged, {count.missing} missing{earlier}"


def _settling(steps: Iterable[StepRecord]) -> list[tuple[str, str]]:
    """Until when some users may have gone where they went before, where that is not at once."""
    for step in steps:
        seconds = (step.result or {}).get("settle_s") if step.name == "redirect traffic" else None
        if seconds and step.ended:
            until = f"{step.ended + timedelta(seconds=seconds):%H:%M:%S} UTC"
            return [("the last users followed", f"by {until}, as DNS answers live {seconds:.0f} s")]
    return []


def _told_words(told: Iterable[Delivery]) -> str:
    words = (f"{each.stage} by {each.channel}: {each.outcome}" for each in told)
    return "; ".join(words) or "nobody"


def steps_markdown(steps: Iterable[StepRecord]) -> str:
    """The steps of an incident as a table."""
    rows = [
        (s.name, f"{s.started:%H:%M:%S.%f}"[:-3], f"{_seconds(s):.3f} s", str(s.attempts), s.outcome)
        for s in steps
    ]
    return table(("step", "start (UTC)", "took", "attempts", "outcome"), rows)


def _seconds(step: StepRecord) -> float:
    return (step.ended - step.started).total_seconds() if step.ended else 0.0
