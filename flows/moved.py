"""One move of a drill, as a trial: the move itself, its loss, its pause, and everything at its new site."""

from typing import Any

from prefect import Flow

from flows.validate_recovery import validate_recovery
from tasks.facts.drill import Drill, Trial
from tasks.move_drill import acts_of, require_no_loss, require_short_pause
from tasks.trying import Trying, ended_early

# Not the performance: the old site is made a standby meanwhile.
_SUITES = ["smoke", "integration", "security"]


def moved(drill: Drill, name: str, move: Flow[..., Any], site: str) -> Trial:
    """Move the service and look at it from all sides; only a move that fails ends the trial."""
    trial = Trying()
    with ended_early():
        report = trial.do(move, reason=f"{drill.id}: {drill.reason}")
        trial.point, trial.took_s = report.incident, report.write_pause_seconds or 0.0
        trial.acts += acts_of(report)
        trial.lost_s = report.rpo.lost_seconds
        trial.attempt(require_no_loss, report)
        trial.attempt(require_short_pause, drill, report)
        trial.attempt(validate_recovery, site=site, suites=_SUITES)
    return Trial(
        name=name,
        severity="critical",
        point=trial.point,
        acts=tuple(trial.acts),
        took_s=round(trial.took_s, 3),
        lost_s=trial.lost_s,
        of_rpo=True,
    )
