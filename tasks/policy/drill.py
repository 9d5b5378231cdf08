"""What a drill tries, and what follows from what it saw. Pure."""

import hashlib
import random
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta

from tasks.clients.walnames import parse_lsn
from tasks.errors import Permanent, Refused
from tasks.facts.backups import Point
from tasks.facts.drill import Act, Drill, DrillReport, Finding, Impact, Kind, Outcome, Trial, Variant
from tasks.plan.drills import Blackout
from tasks.plan.plan import Plan

# A recovery ends at a moment only where a later commit is in the WAL.
_MARGIN = timedelta(seconds=5)
MOVING: frozenset[Kind] = frozenset({"full_failover", "full_dr_exercise"})
"""The drills that move the service."""
SWEEP = "remove what drills left behind"
"""The act that says, where it does not pass, that something is left."""
WHOLE = "the drill as a whole"
"""The trial that only a drill has that was killed; any other one is its retest."""
_GOOD = frozenset({"running", "streaming"})


def digest_of(plan: Plan) -> str:
    """The SHA-256 of a plan: what was rehearsed for another one is not verified."""
    return hashlib.sha256(plan.model_dump_json().encode()).hexdigest()


def random_moment(ends: Sequence[datetime], stored_at: datetime | None, seed: str) -> datetime:
    """A moment that a copy can be recovered to: between its first backup and its newest WAL.

    Args:
        ends: when its backups ended.
        stored_at: when its newest WAL segment was stored.
        seed: what the choice depends on.

    Raises:
        Permanent: there is no backup, or no WAL after it.
    """
    first = min(ends, default=None)
    if first is None or stored_at is None:
        raise Permanent("the copy holds nothing that could be recovered", f"{len(ends)} backups")
    room = stored_at - _MARGIN - first
    if room <= timedelta():
        raise Permanent("the copy holds no WAL after its first backup", f"{first} to {stored_at}")
    chance = random.Random(seed)  # noqa: S311 -- a choice, no key
    return (first + chance.random() * room).replace(microsecond=0) + timedelta(seconds=1)


def choose_point(points: Sequence[Point], variant: Variant, seed: str) -> Point:
    """The newest of an asset's points, or one by chance of those that are older.

    Raises:
        Permanent: there is none.
    """
    order = sorted((point for point in points if point.good), key=lambda point: point.at)
    if not order:
        raise Permanent("there is no point to restore")
    if variant == "newest" or len(order) == 1:
        return order[-1]
    return random.Random(seed).choice(order[:-1])  # noqa: S311 -- a choice, no key


def scope_of(assets: Iterable[str], excluded: Iterable[str], wanted: Sequence[str] | None) -> tuple[str, ...]:
    """The assets that are tried.

    Args:
        assets: all that the plan has.
        excluded: those that the plan leaves out.
        wanted: only these; all where None.

    Raises:
        Refused: one that is wanted is not in the plan, or is left out by it.
    """
    left, known = frozenset(excluded), tuple(assets)
    able = tuple(asset for asset in known if asset not in left)
    for asset in wanted or ():
        if asset not in able:
            why = (
                "the plan's `drills.exclusions` leave it out"
                if asset in left
                else "the plan has no such asset"
            )
            raise Refused(f"{asset} cannot be tried", why, f"allowed: {', '.join(able)}")
    return tuple(asset for asset in able if wanted is None or asset in wanted)


def copies_of(
    plan: Plan, assets: Sequence[str] | None = None, sites: Sequence[str] | None = None
) -> tuple[tuple[str, str], ...]:
    """The copies that a restore drill tries: every asset's at every site, but for what the plan leaves out.

    Args:
        plan: the plan.
        assets: only these; all where None.
        sites: only these sites'; all where None.

    Raises:
        Refused: an asset is not in the plan, or is left out by it.
    """
    chosen = scope_of(plan.protection.assets(), plan.drills.exclusions, assets)
    where = tuple(site for site in plan.sites if sites is None or site in sites)
    return tuple((asset, site) for asset in chosen for site in where)


def counts(plan: Plan, report: DrillReport) -> bool:
    """Whether a report says something of the whole: one of some copies only does where it failed."""
    narrowed = report.drill.kind == "backup_restoration" and set(copies_of(plan)) - set(report.drill.copies)
    return not narrowed or report.verdict == "failed"


def blacked_out(blackouts: Iterable[Blackout], today: date) -> str:
    """Why no drill is held on a day; empty where one may be."""
    return next((f"until {it.until}: {it.reason}" for it in blackouts if it.since <= today <= it.until), "")


def harm(before: Impact | None, after: Impact | None, *, moved: bool = False) -> tuple[str, ...]:
    """What speaks for a harm to production between two looks; empty where nothing does.

    Args:
        before: the first look.
        after: the second.
        moved: whether the drill moved the service, so that its timeline is another.
    """
    if before is None or after is None:
        return ("production could not be seen",)
    told = []
    if before.active != after.active:
        told.append(f"the active site was {before.active} and is {after.active}")
    if before.timeline != after.timeline and not moved:
        told.append(f"the timeline was {before.timeline} and is {after.timeline}")
    if parse_lsn(after.lsn) < parse_lsn(before.lsn):
        told.append(f"the primary stood at {before.lsn} and stands at {after.lsn}")
    for name, how in before.followers.items():
        now = after.followers.get(name, "gone")
        if how in _GOOD and now not in _GOOD:
            told.append(f"{name} was {how} and is {now}")
    return tuple(told)


def verdict_of(trials: Sequence[Trial], impact: Sequence[str], left: Sequence[str]) -> Outcome:
    """Passed only where all trials did, production was not harmed, and nothing was left behind."""
    outcomes = {trial.outcome for trial in trials}
    if "failed" in outcomes or left or (impact and impact != ("production could not be seen",)):
        return "failed"
    return "unknown" if "unknown" in outcomes or impact or not trials else "passed"


def findings_of(
    drill: Drill, trials: Sequence[Trial], earlier: Sequence[Finding], owner: str, due: datetime
) -> tuple[Finding, ...]:
    """What this drill found wrong, and what became of what earlier ones found.

    Args:
        drill: this one.
        trials: what it tried.
        earlier: the findings of the last one that are not closed.
        owner: who mends what is new.
        due: until when.
    """
    wrong = {trial.name: trial for trial in trials if trial.outcome != "passed"}
    tried = {WHOLE, *(trial.name for trial in trials)}
    known = {each.trial for each in earlier}
    told = [_retested(each, wrong, tried) for each in earlier]
    told += [
        Finding(
            trial=name,
            what=_what(trial),
            severity=trial.severity,
            owner=owner,
            due=due,
            found_in=drill.id,
            status="open",
        )
        for name, trial in wrong.items()
        if name not in known
    ]
    return tuple(told)


def killed_trial(drill: Drill, now: datetime, away: str, incident: str) -> Trial:
    """What is left to say of a drill that ended without a word.

    Args:
        drill: the drill.
        now: when that was found.
        away: the site that serves, where that is not the primary one.
        incident: the one that is open; empty where none is.
    """
    told = ["whoever held it was killed, or its host is lost"]
    if drill.kind in MOVING and incident:
        told.append(f"{incident} is open: `dr incident resume {incident}`")
    if drill.kind in MOVING and away:
        told.append(f"the service is at {away}: bring it home with `dr trigger fail-back`")
    act = Act(
        name="come to its end", started=drill.began, ended=now, outcome="failed", detail="; ".join(told)
    )
    return Trial(name=WHOLE, severity="critical", point="", acts=(act,))


def is_open(finding: Finding) -> bool:
    """Whether it still has to be mended."""
    return finding.status != "passed its retest"


def recommendations(drill: Drill, trials: Sequence[Trial], findings: Sequence[Finding]) -> tuple[str, ...]:
    """What should be done, from what was measured."""
    told = [
        f"mend what {each.trial} showed by {each.due:%Y-%m-%d} ({each.owner}), then rehearse it again: "
        f"{each.what[:200]}"
        for each in findings
        if is_open(each)
    ]
    slow = [trial for trial in trials if trial.took_s > drill.rto_s / 2]
    told += [
        f"{trial.name} took {trial.took_s:.0f} s of the {drill.rto_s:.0f} s that the tier allows: "
        "plan for its growth"
        for trial in slow
    ]
    return tuple(told)


def _what(trial: Trial) -> str:
    act = trial.wrong
    return f"{act.name}: {act.detail}" if act else "nothing was tried"


def _retested(finding: Finding, wrong: dict[str, Trial], tried: set[str]) -> Finding:
    if finding.trial not in tried:
        return finding
    if finding.trial in wrong:
        return finding.model_copy(update={"status": "still there", "what": _what(wrong[finding.trial])})
    return finding.model_copy(update={"status": "passed its retest"})
