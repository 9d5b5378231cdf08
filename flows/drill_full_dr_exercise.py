"""The annual exercise: everybody who has a part, the whole scenario, and a sign-off.

Source: the seed's "DR Testing Schedule".
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from prefect import flow

from flows.evaluate_readiness import readiness_now
from flows.moved import moved_away, moved_home
from tasks.current import current_plan
from tasks.drill import alive, look_again, look_at_production
from tasks.drill_answers import ask, gather
from tasks.drill_begin import begin_exercise
from tasks.drill_guard import ask_permission, require_window
from tasks.drill_report import require_passed, write_drill_report
from tasks.exercise import announce
from tasks.facts.drill import Act, Drill, DrillReport, Trial
from tasks.plan.plan import Plan
from tasks.policy.exercise import inject_questions, process_questions, stakeholders
from tasks.trying import Trying

_CALL = "The exercise begins. Have you read this, do you know your part, and can you do it now?"
_FILED = "Is the notice to the authorities written, with what is known, and would it be sent now?"
_SIGN = "Do you accept how the exercise went, for what you answer for? Say in the comment what must change."
Questions = Iterable[tuple[str, str, Sequence[str]]]


@flow(persist_result=False)
def drill_full_dr_exercise(
    reason: str = "started by hand", approved_by: str | None = None, risk: str = "", absent: str = ""
) -> DrillReport:
    """Tell everybody, move the service, ask every owner of a process, come home, and have it signed off.

    Args:
        reason: who wants it, and why; it stands in the report.
        approved_by: the commander who allows it; the commanders are asked in the UI where empty.
        risk: where something is not ready, why the exercise may be held all the same.
        absent: a person who takes no part, to see whether the others can do without.

    Returns:
        the report; the run fails where the exercise did not pass.
    """
    plan, course = current_plan(), Trying()
    require_window(plan)
    ready = readiness_now(plan)
    consent = ask_permission(plan, ready, approved_by, risk)
    drill = begin_exercise(plan, reason, consent, absent)
    before = course.attempt(look_at_production, plan)
    with alive(plan, drill):
        told = Trying()
        told.attempt(announce, plan, drill, "opened")
        trials = _played(plan, drill, absent)
        told.attempt(announce, plan, drill, "recovered")
        trials.append(_answered("announcements", told.acts))
        after = course.attempt(look_again, plan, drill, before)
        report = write_drill_report(plan, drill, trials, course.acts, before, after)
    require_passed(report)
    return report


def _played(plan: Plan, drill: Drill, absent: str) -> list[Trial]:
    people, exercise = stakeholders(plan, absent), plan.drills.exercise
    notice = ask(plan, drill, "notice", _FILED, people[-1:])
    trials = [_asked(plan, drill, "call tree", [("call-tree", _CALL, people)])]
    there = moved_away(plan, drill)
    trials.append(there)
    if there.point:
        trials.append(_asked(plan, drill, "business processes", process_questions(plan, absent)))
        trials.append(moved_home(plan, drill))
    trials.append(_asked(plan, drill, "injects", inject_questions(plan, people)))
    trials.append(_answered("notice to the authorities", gather(plan, drill, notice, exercise.notice_within)))
    trials.append(_asked(plan, drill, "sign-off", [("sign-off", _SIGN, people)]))
    return trials


def _asked(plan: Plan, drill: Drill, name: str, questions: Questions) -> Trial:
    """All questions at once, then their answers."""
    asked = [ask(plan, drill, *each) for each in questions]
    within: timedelta = plan.drills.exercise.answer_within
    return _answered(name, [act for each in asked for act in gather(plan, drill, each, within)])


def _answered(name: str, acts: Sequence[Act]) -> Trial:
    return Trial(name=name, severity="major", point="", acts=tuple(acts))
