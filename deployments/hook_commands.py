"""`dr hook`: let a commit in a repository be backed up at once."""

from pathlib import Path
from typing import Annotated

import typer

from deployments.environment import active_plan, api
from infra.hooks import install_hook
from tasks.clients.bundles import source_of
from tasks.errors import Refused


def hook(
    name: Annotated[str, typer.Argument(help="a repository of the plan that lies on this machine")],
) -> None:
    """Install the git hook that tells Prefect of each commit and push, so that it is backed up at once."""
    plan = active_plan()
    repository = Path(source_of(plan, name))
    if not repository.is_dir():
        hint = "run `dr hook` on its host; until then the schedule catches up"
        raise Refused(f"{name} does not lie on this machine", str(repository), hint)
    server = api()
    user = server.password.partition(":")[0]
    install_hook(repository, name, server.url, user, plan.secret_path("prefect_api"))
    print(f"commits to {repository} are told to {server.url}")
