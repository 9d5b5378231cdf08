"""The semi-annual drill: the service moves to the other site, under its users' load, and comes home.

Source: the seed's "DR Testing Schedule".
"""

from prefect import flow

from flows.evaluate_readiness import readiness_now
from flows.moved import moved_away, moved_home
from tasks.current import current_plan
from tasks.drill import alive, look_again, look_at_production
from tasks.drill_begin import begin_move
from tasks.drill_guard import ask_permission, require_window
from tasks.drill_report import require_passed, write_drill_report
from tasks.facts.drill import DrillReport
from tasks.move_drill import stay
from tasks.trying import Trying


@flow(persist_result=False)
def drill_full_failover(
    reason: str = "started by hand", approved_by: str | None = None, risk: str = ""
) -> DrillReport:
    """Move the service to the other site, validate it there, stay for a while, and bring it home.

    Args:
        reason: who wants it, and why; it stands in the report.
        approved_by: the commander who allows it; the commanders are asked in the UI where empty.
        risk: where something is not ready, why the drill may be held all the same.

    Returns:
        the report; the run fails where the drill did not pass.
    """
    plan, course = current_plan(), Trying()
    require_window(plan)
    ready = readiness_now(plan)
    drill = begin_move(plan, reason, ask_permission(plan, ready, approved_by, risk))

    before = course.attempt(look_at_production, plan)
    with alive(plan, drill):
        there = moved_away(plan, drill)
        trials = [there]
        if there.point:
            course.attempt(stay, plan, drill)
            trials.append(moved_home(plan, drill))
        after = course.attempt(look_again, plan, drill, before)
        report = write_drill_report(plan, drill, trials, course.acts, before, after)
    require_passed(report)
    return report
