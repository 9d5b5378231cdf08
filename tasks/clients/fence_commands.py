"""The plan's own fence commands, run where the flow runs: a provider's API, a power switch, a route."""

import shlex

from tasks.clients.command import run
from tasks.clients.masking import MASK, masker
from tasks.errors import DrError, Permanent
from tasks.plan.fencing import FenceCommand
from tasks.plan.plan import Plan

_SHOWN = 300


def run_fence_command(plan: Plan, site: str, command: FenceCommand) -> str:
    """Run one command for a site and return the end of what it said, without the plan's secrets.

    Raises:
        Permanent: it exited non-zero, or cannot be run; what it said is without secrets too.
        Transient: it did not end in time.
    """
    argv = shlex.split(command.command.format(site=site))
    try:
        said = run(argv, timeout=command.timeout.total_seconds())
    except DrError as error:
        raise type(error)(_shown(plan, error.message), _shown(plan, error.detail)) from None
    except (OSError, ValueError) as error:
        raise Permanent(_shown(plan, f"{argv[0]} cannot be run"), type(error).__name__) from None
    return _shown(plan, said.strip())


def _shown(plan: Plan, text: str) -> str:
    try:
        return masker(plan)(text)[-_SHOWN:]
    except DrError:
        return MASK  # without the secrets, nothing can be told from them
