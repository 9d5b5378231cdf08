"""Whether a host of the plan answers at all, on any port that one of its programs listens on."""

import socket
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import urlsplit

from tasks.errors import Transient
from tasks.plan.plan import Plan
from tasks.plan.sites import Program

_PORTS: Mapping[Program, tuple[int, ...]] = {
    "postgres": (8008, 5432),
    "etcd": (2379,),
    "gateway": (8080,),
    "pgbouncer": (6432,),
    "redis": (6379,),
    "sentinel": (26379,),
    "service": (8000,),
    "control": (4200,),
}


def ports_of(plan: Plan, site: str, host: str) -> tuple[int, ...]:
    """The ports that a host's programs listen on; none for a host that only looks at others."""
    runs = plan.sites[site].hosts[host].runs
    ports = [port for program in runs for port in _PORTS.get(program, ())]
    store = urlsplit(plan.sites[site].storage.endpoint)
    if "storage" in runs and store.hostname == str(plan.sites[site].hosts[host].address) and store.port:
        ports.append(store.port)
    return tuple(ports)


def require_answer(plan: Plan, site: str, host: str, timeout: float) -> None:
    """Connect to any of a host's ports.

    A host that refuses every one is as silent as one without power: nothing that it is for is there.

    Args:
        plan: the plan.
        site: the host's site.
        host: the host.
        timeout: seconds for all its ports together.

    Raises:
        Transient: none of them answers.
    """
    address, ports = str(plan.sites[site].hosts[host].address), ports_of(plan, site, host)
    for port in ports:
        with suppress(OSError), socket.create_connection((address, port), timeout / len(ports)):
            return
    raise Transient(f"no port of {host} answers", f"{address}: {', '.join(map(str, ports))}")
