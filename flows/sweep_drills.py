"""Remove what drills left that were killed. Source: the seed's "automatic rollback after testing"."""

from prefect import flow

from tasks.current import current_plan
from tasks.drill import look_at_production, sweep_leftovers
from tasks.drill_killed import find_killed, look_at_killed
from tasks.drill_report import require_passed, write_drill_report
from tasks.trying import Trying


@flow(persist_result=False)
def sweep_drills() -> tuple[str, ...]:
    """End and remove the restored databases of every drill that is dead, and report those that had no word.

    Returns:
        what was removed; the run fails where a drill was reported, so that somebody hears of it.
    """
    plan, course = current_plan(), Trying()
    removed = sweep_leftovers(plan)
    reports = []
    for drill in find_killed(plan):
        trial, after = look_at_killed(plan, drill), course.attempt(look_at_production, plan)
        reports.append(write_drill_report(plan, drill, [trial], [], None, after))
    for report in reports:
        require_passed(report)
    return removed
