"""Reading what drills left. No Prefect here: `dr drill` is quick."""

from collections.abc import Iterator

from tasks.clients import records
from tasks.errors import Refused
from tasks.facts.drill import DrillReport
from tasks.plan.plan import Plan

FOLDER = "drills"


def drills(plan: Plan) -> list[str]:
    """The ids of the drills that have a report, oldest first.

    Raises:
        Transient: no store answers.
    """
    return records.names(plan, FOLDER, "/report.json")


def drill_texts(plan: Plan) -> Iterator[tuple[str, str]]:
    """Every drill that has a report, with its text as the stores have it, oldest first.

    Raises:
        Transient: no store answers.
    """
    for drill in drills(plan):
        text = records.read(plan, f"{FOLDER}/{drill}/report.json")
        if text is not None:
            yield drill, text


def read_drill_report(plan: Plan, drill: str) -> DrillReport:
    """One drill's report.

    Raises:
        Refused: it has none.
        Transient: no store answers.
    """
    text = records.read(plan, f"{FOLDER}/{drill}/report.json")
    if text is None:
        raise Refused(f"{drill} has no report", hint="`dr report list` shows what there is")
    return DrillReport.model_validate_json(text)


def read_drill_reports(plan: Plan) -> list[DrillReport]:
    """Every drill's report, oldest first.

    Raises:
        Transient: no store answers.
    """
    return [DrillReport.model_validate_json(text) for _, text in drill_texts(plan)]
