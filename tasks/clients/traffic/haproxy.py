"""HAProxy moves the users, by its runtime API: at once, sessions included.

Source: HAProxy management guide, "Unix Socket commands".
"""

import csv
import io
import socket
from collections.abc import Mapping

from tasks.clients.traffic.standing import OUT, Standing, as_shares
from tasks.errors import Permanent, Transient
from tasks.plan.plan import Plan

_BACKEND = "sites"


def standing(plan: Plan) -> dict[str, Standing]:
    """Each server's weight and state; a server in maintenance has no users, whatever its weight.

    Raises:
        Transient: the endpoint's admin socket does not answer.
    """
    rows = {
        row["svname"]: row
        for row in csv.DictReader(io.StringIO(_command(plan, "show stat").removeprefix("# ")))
        if row["pxname"] == _BACKEND and row["svname"] not in {"BACKEND", "FRONTEND"}
    }
    # `weight` is what a server that starts slowly has for now, `uweight` what was asked for.
    told = {
        name: 0 if row["status"].startswith(OUT) else int(row["uweight"] or 0) for name, row in rows.items()
    }
    shares = as_shares(told)
    return {name: Standing(shares[name], row["status"]) for name, row in rows.items()}


def move(plan: Plan, weights: Mapping[str, int]) -> None:
    """Set the weights: who gets nobody leaves the rotation first, then the others enter it.

    A site that enters, or takes everybody, is ready at once, whatever its last health check said.

    Raises:
        Transient: the endpoint's admin socket does not answer.
        Permanent: it refused a command.
    """
    before = standing(plan)
    staying = {site: weight for site, weight in weights.items() if weight}
    leaving = [name for name in before if name not in staying]
    _tell(plan, *(f"set server {_BACKEND}/{name} state maint" for name in leaving))
    for site, weight in staying.items():
        _tell(
            plan, f"set server {_BACKEND}/{site} weight {weight}", f"set server {_BACKEND}/{site} state ready"
        )
        if weight == sum(weights.values()) or before[site].state.startswith(OUT):
            _tell(plan, f"set server {_BACKEND}/{site} health up")
    _tell(plan, *(f"shutdown sessions server {_BACKEND}/{name}" for name in leaving))


def _tell(plan: Plan, *commands: str) -> None:
    for command in commands:
        answer = _command(plan, command).strip()
        if answer:
            raise Permanent("the public endpoint refused a command", f"{command}: {answer}")


def _command(plan: Plan, command: str) -> str:
    proxy = plan.service.endpoint.proxy
    try:
        with socket.create_connection((str(proxy.address), proxy.admin_port), timeout=3) as admin:
            admin.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: admin.recv(65536), b"")).decode()
    except OSError as error:
        raise Transient("the public endpoint does not answer its administrator", str(error)) from error
