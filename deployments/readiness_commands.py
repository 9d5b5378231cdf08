"""`dr readiness`: whether the service could be recovered now, as it was last evaluated."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown

from deployments.environment import active_plan
from tasks.errors import Refused
from tasks.policy.readiness_words import readiness_markdown
from tasks.policy.tables import span
from tasks.readiness_record import last_readiness

# An evaluation that is older than so many intervals says nothing about now.
_STALE = 3


def readiness(as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False) -> None:
    """Show the last evaluation of readiness; exit 1 where it is not READY, or too old to tell."""
    plan = active_plan()
    found = last_readiness(plan)
    if found is None:
        raise Refused("readiness was never evaluated", hint="`dr run evaluate-readiness`")
    age, interval = datetime.now(UTC) - found.at, plan.readiness.schedule.interval
    stale = interval is not None and age > _STALE * interval
    if as_json:
        print(found.model_dump_json(indent=2))
    else:
        Console().print(Markdown(readiness_markdown(found)))
        print(
            f"evaluated {span(age)} ago{', too long to tell: `dr run evaluate-readiness`' if stale else ''}"
        )
    if stale or found.standing != "READY":
        raise typer.Exit(1)
