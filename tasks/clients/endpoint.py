"""The public endpoint: which site's gateway takes users, by HAProxy's runtime API.

Source: HAProxy management guide, "Unix Socket commands".
"""

import csv
import io
import socket

from tasks.errors import Permanent, Transient
from tasks.plan.plan import Plan

_BACKEND = "sites"


def states(plan: Plan) -> dict[str, str]:
    """Each site's state at the endpoint, such as UP, DOWN, MAINT.

    Raises:
        Transient: the endpoint's admin socket does not answer.
    """
    rows = csv.DictReader(io.StringIO(_command(plan, "show stat").removeprefix("# ")))
    return {
        row["svname"]: row["status"]
        for row in rows
        if row["pxname"] == _BACKEND and row["svname"] not in {"BACKEND", "FRONTEND"}
    }


def redirect(plan: Plan, to_site: str) -> None:
    """Take users to one site: the others leave the rotation first, then it enters.

    Raises:
        Transient: the endpoint's admin socket does not answer.
        Permanent: it refused a command.
    """
    others = [name for name in states(plan) if name != to_site]
    _tell(plan, *(f"set server {_BACKEND}/{name} state maint" for name in others))
    _tell(plan, f"set server {_BACKEND}/{to_site} state ready", f"set server {_BACKEND}/{to_site} health up")
    _tell(plan, *(f"shutdown sessions server {_BACKEND}/{name}" for name in others))


def _tell(plan: Plan, *commands: str) -> None:
    for command in commands:
        answer = _command(plan, command).strip()
        if answer:
            raise Permanent("the public endpoint refused a command", f"{command}: {answer}")


def _command(plan: Plan, command: str) -> str:
    endpoint = plan.service.endpoint
    try:
        with socket.create_connection((str(endpoint.address), endpoint.admin_port), timeout=3) as admin:
            admin.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: admin.recv(65536), b"")).decode()
    except OSError as error:
        raise Transient("the public endpoint does not answer its administrator", str(error)) from error
