"""The quarterly drill: the service at the other site on a clone of its standby, with no way out.

Source: the seed's "Testing Procedures".
"""

from prefect import flow

from tasks.activation_drill import (
    choose_host,
    clone_standby,
    open_apart,
    require_following,
    require_isolated,
    start_apart,
    walk_through,
)
from tasks.current import current_plan
from tasks.drill import (
    alive,
    look_again,
    look_at_production,
    put_copy_away,
    require_calm,
    require_in_time,
    sweep_leftovers,
)
from tasks.drill_begin import begin_activation
from tasks.drill_report import require_passed, write_drill_report
from tasks.facts.drill import Drill, DrillReport, Trial
from tasks.plan.plan import Plan
from tasks.trying import Trying, ended_early


@flow(persist_result=False)
def drill_failover_testing(reason: str = "started by hand") -> DrillReport:
    """Start the service apart on a clone of a standby, walk through it, and remove it again.

    Args:
        reason: who wants it, and why; it stands in the report.

    Returns:
        the report; the run fails where the drill did not pass.
    """
    plan, course = current_plan(), Trying()
    drill = begin_activation(plan, reason)
    course.attempt(sweep_leftovers, plan)
    before = course.attempt(look_at_production, plan)
    with alive(plan, drill):
        trial = _activated(plan, drill)
    course.attempt(sweep_leftovers, plan)
    with alive(plan, drill):
        after = course.attempt(look_again, plan, drill, before)
        report = write_drill_report(plan, drill, [trial], course.acts, before, after)
    require_passed(report)
    return report


def _activated(plan: Plan, drill: Drill) -> Trial:
    trial = Trying()
    with ended_early():
        trial.do(require_calm, plan, drill)
        where = trial.do(choose_host, plan)
        try:
            _walked(plan, drill, trial, where)
        finally:
            trial.attempt(put_copy_away, plan, where, drill)
    return Trial(
        name="the service on a clone of a standby",
        severity="critical",
        point=trial.point,
        acts=tuple(trial.acts),
        took_s=round(trial.took_s, 3),
    )


def _walked(plan: Plan, drill: Drill, trial: Trying, where: tuple[str, str]) -> None:
    trial.point = where[1]
    for act in (clone_standby, open_apart, start_apart):
        trial.do(act, plan, drill, where)
        trial.took_s += trial.acts[-1].seconds
    trial.do(require_isolated, plan, drill, where)
    trial.do(walk_through, plan, drill, where)
    trial.do(require_calm, plan, drill)
    trial.do(require_following, plan, where)
    trial.do(require_in_time, drill, trial.took_s)
