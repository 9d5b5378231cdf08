"""Running a program on a host of the plan, by the plan's remote shell."""

import shlex
from collections.abc import Mapping, Sequence

from tasks.clients.command import Held, Tell, follow, hold, run
from tasks.clients.telemetry.labels import labelled
from tasks.errors import DrError, Permanent, Transient
from tasks.plan.plan import Plan

_UNREACHABLE = "exit 255"
# Secrets reach a program's environment by standard input: never argv, where every process can read them.
_EXPORT = 'while IFS= read -r line && [ -n "$line" ]; do export "$line"; done; exec "$@"'


def run_on(  # noqa: PLR0913 -- one door to a host
    plan: Plan,
    address: str,
    argv: Sequence[str],
    *,
    timeout: float,
    stdin: str = "",
    secrets: Mapping[str, str] | None = None,
) -> str:
    """Run a program on a host and return its standard output.

    Args:
        plan: its `access.shell` is the way in.
        address: the host's address.
        argv: the program and its arguments, quoted for the remote shell here.
        timeout: seconds.
        stdin: text for its standard input.
        secrets: environment variables that nobody else on the host may see.

    Raises:
        Transient: the host cannot be reached, or the time is over.
        Permanent: the program failed.
    """
    shell, given = _remote(plan, address, argv, stdin, secrets)
    try:
        with labelled(**plan.place_of(address)):
            return run(shell, timeout=timeout, stdin=given)
    except Permanent as error:
        raise _told(error, address, argv) from error


def follow_on(  # noqa: PLR0913 -- as above
    plan: Plan,
    address: str,
    argv: Sequence[str],
    tell: Tell,
    *,
    timeout: float,
    secrets: Mapping[str, str] | None = None,
) -> None:
    """Run a program on a host and tell each line of its standard output as it comes.

    Raises:
        Transient, Permanent: see `run_on`.
    """
    shell, given = _remote(plan, address, argv, "", secrets)
    try:
        with labelled(**plan.place_of(address)):
            follow(shell, tell, timeout=timeout, stdin=given)
    except Permanent as error:
        raise _told(error, address, argv) from error


def hold_on(plan: Plan, address: str, argv: Sequence[str], *, timeout: float) -> Held:
    """Start a program on a host that runs until its input ends, and wait for its first line.

    Raises:
        Transient, Permanent: see `run_on`.
    """
    shell, _ = _remote(plan, address, argv, "", None)
    try:
        with labelled(**plan.place_of(address)):
            return hold(shell, timeout=timeout)
    except Permanent as error:
        raise _told(error, address, argv) from error


def _remote(
    plan: Plan, address: str, argv: Sequence[str], stdin: str, secrets: Mapping[str, str] | None
) -> tuple[list[str], str]:
    shell = shlex.split(plan.access.shell.format(address=address))
    if secrets is None:
        return [*shell, shlex.join(argv)], stdin
    exported = "".join(f"{name}={value}\n" for name, value in secrets.items())
    return [*shell, shlex.join(["sh", "-c", _EXPORT, "sh", *argv])], f"{exported}\n{stdin}"


def _told(error: DrError, address: str, argv: Sequence[str]) -> DrError:
    if error.detail.startswith(_UNREACHABLE):
        return Transient(f"host {address} cannot be reached", error.detail)
    return Permanent(f"{argv[0]} failed on {address}", error.detail, shlex.join(argv))
