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
        Transient: the endpoint's admin socket does not answer, or not to the end.
    """
    told = _command(plan, "show stat")
    if not (told.startswith("# pxname,") and told.endswith("\n\n")):
        # A proxy that is being replaced takes the question and hangs up.
        raise Transient("the public endpoint did not tell all of its servers", told[-200:])
    rows = {
        row["svname"]: row
        for row in csv.DictReader(io.StringIO(told.removeprefix("# ")))
        if row["pxname"] == _BACKEND and row["svname"] not in {"BACKEND", "FRONTEND"}
    }
    # `weight` is what a server that starts slowly has for now, `uweight` what was asked for.
    shares = as_shares(
        {name: 0 if row["status"].startswith(OUT) else int(row["uweight"] or 0) for name, row in rows.items()}
    )
    return {name: Standing(shares[name], row["status"]) for name, row in rows.items()}


def move(plan: Plan, weights: Mapping[str, int]) -> None:
    """Set the weights: who gets nobody leaves the rotation first, then the others enter it.

    A site that enters, or takes everybody, is ready at once, whatever its last health check said.

    Raises:
        Transient: the endpoint's admin socket does not answer, or not every order.
        Permanent: it refused a command.
    """
    before = standing(plan)
    staying = {site: weight for site, weight in weights.items() if weight}
    if unknown := sorted(staying.keys() - before.keys()):
        raise Permanent(
            "the public endpoint knows no such site", ", ".join(unknown), "render its haproxy.cfg anew"
        )
    leaving = [name for name in before if name not in staying]
    orders = [f"set server {_BACKEND}/{name} state maint" for name in leaving]
    for site, weight in staying.items():
        server = f"set server {_BACKEND}/{site}"
        orders += [f"{server} weight {weight}", f"{server} state ready"]
        if weight == sum(weights.values()) or before[site].state.startswith(OUT):
            orders.append(f"{server} health up")
    orders += [f"shutdown sessions server {_BACKEND}/{name}" for name in leaving]
    # One connection for all, in this order; each order that is obeyed is answered by an empty line.
    answer = _command(plan, "; ".join(orders))
    if refusal := answer.strip():
        raise Permanent("the public endpoint refused an order", f"{'; '.join(orders)}: {refusal}")
    if len(answer) < len(orders):
        raise Transient("the public endpoint hung up", f"{len(answer)} of {len(orders)} orders were obeyed")


def _command(plan: Plan, command: str) -> str:
    proxy = plan.service.endpoint.proxy
    try:
        with socket.create_connection((str(proxy.address), proxy.admin_port), timeout=3) as admin:
            admin.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: admin.recv(65536), b"")).decode()
    except OSError as error:
        raise Transient("the public endpoint does not answer its administrator", str(error)) from error
