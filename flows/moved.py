"""A drill's moves, each a trial: the move itself, its loss, its pause, and everything at its new site."""

from typing import Any

from prefect import Flow

from flows.fail_back import fail_back
from flows.switch_over import switch_over
from flows.validate_recovery import validate_recovery
from tasks.drill import require_calm
from tasks.facts.drill import Drill, Trial
from tasks.move_drill import acts_of, require_no_loss, require_short_pause
from tasks.plan.plan import Plan
from tasks.trying import Trying, ended_early

# Not the performance: the old site is made a standby meanwhile.
_SUITES = ["smoke", "integration", "security"]


def moved_away(plan: Plan, drill: Drill) -> Trial:
    """To the other site, unless somebody has ended the drill."""
    trial, site = Trying(), plan.site_of("dr")
    with ended_early():
        trial.do(require_calm, plan, drill)
        _move(drill, trial, switch_over, site)
    return _told(trial, f"to {site}")


def moved_home(plan: Plan, drill: Drill) -> Trial:
    """Home again, whoever has ended the drill."""
    trial, site = Trying(), plan.site_of("primary")
    with ended_early():
        _move(drill, trial, fail_back, site)
    return _told(trial, f"home to {site}")


def _move(drill: Drill, trial: Trying, move: Flow[..., Any], site: str) -> None:
    """Only a move that fails ends the trial: everything else is looked at in any case."""
    report = trial.do(move, reason=f"{drill.id}: {drill.reason}")
    trial.point, trial.took_s = report.incident, report.write_pause_seconds or 0.0
    trial.acts += acts_of(report)
    trial.lost_s = report.rpo.lost_seconds
    trial.attempt(require_no_loss, report)
    trial.attempt(require_short_pause, drill, report)
    trial.attempt(validate_recovery, site=site, suites=_SUITES)


def _told(trial: Trying, name: str) -> Trial:
    return Trial(
        name=name,
        severity="critical",
        point=trial.point,
        acts=tuple(trial.acts),
        took_s=round(trial.took_s, 3),
        lost_s=trial.lost_s,
        of_rpo=True,
    )
