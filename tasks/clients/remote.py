"""Running a program on a host of the plan, by the plan's remote shell."""

import shlex
from collections.abc import Sequence

from tasks.clients.command import run
from tasks.errors import DrError, Permanent, Transient
from tasks.plan.plan import Plan

_UNREACHABLE = "exit 255"


def run_on(plan: Plan, address: str, argv: Sequence[str], *, timeout: float, stdin: str | None = None) -> str:
    """Run a program on a host and return its standard output.

    Args:
        plan: its `access.shell` is the way in.
        address: the host's address.
        argv: the program and its arguments, quoted for the remote shell here.
        timeout: seconds.
        stdin: text for its standard input.

    Raises:
        Transient: the host cannot be reached, or the time is over.
        Permanent: the program failed.
    """
    shell = shlex.split(plan.access.shell.format(address=address))
    try:
        return run([*shell, shlex.join(argv)], timeout=timeout, stdin=stdin)
    except Permanent as error:
        raise _told(error, address, argv) from error


def _told(error: DrError, address: str, argv: Sequence[str]) -> DrError:
    if error.detail.startswith(_UNREACHABLE):
        return Transient(f"host {address} cannot be reached", error.detail)
    return Permanent(f"{argv[0]} failed on {address}", error.detail, shlex.join(argv))
