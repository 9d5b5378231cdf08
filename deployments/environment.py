"""Which plan and which Prefect the `dr` command works with: the environment's, else the running lab's."""

import os

from deployments.plan_commands import plan_path
from deployments.trigger import Api
from infra.lab.control import client_settings
from infra.lab.home import Home, default_directory
from tasks.errors import Permanent
from tasks.plan.load import load_plan
from tasks.plan.plan import Plan


def active_plan() -> Plan:
    """The plan that DR_PLAN names, else the lab's where one runs, else the one beside this package."""
    adopt_lab()
    return load_plan(plan_path())


def adopt_lab() -> None:
    """Point this process at the running lab, unless its environment already points somewhere."""
    home = Home(default_directory().resolve())
    if "DR_PLAN" in os.environ or not home.exists:
        return
    os.environ.update(client_settings(home, home.plan()))


def api() -> Api:
    """The Prefect API that this process's environment names.

    Raises:
        Permanent: it names none.
    """
    adopt_lab()
    if "PREFECT_API_URL" not in os.environ:
        raise Permanent("no Prefect API is named", hint="set PREFECT_API_URL, or `dr run FLOW` without one")
    return Api(os.environ["PREFECT_API_URL"], os.environ.get("PREFECT_API_AUTH_STRING", ""))
