"""The DCS that a site's cluster has of its own, where the plan says so: an etcd that only its Patroni knows.

It stands on the site's first PostgreSQL host and dies with the site. The plan's own etcd holds the truth.
"""

import json

from infra.lab.home import Home
from infra.lab.processes import Server
from tasks.plan.plan import Plan

_CLIENTS, _PEERS = 12379, 12380
FILE = "etc/patroni/30-dcs.yml"


def own_dcs_file(plan: Plan, site: str) -> str:
    """What a node's Patroni is told beside the rendered files."""
    address = plan.sites[site].addresses("postgres")[0]
    return f"etcd3: {json.dumps({'hosts': [f'{address}:{_CLIENTS}']})}\n"


def own_dcs_servers(home: Home, plan: Plan, site: str) -> list[Server]:
    """The site's own DCS; none where the plan's etcd is it."""
    if plan.sites[site].dcs == "shared":
        return []
    host = next(iter(plan.sites[site].running("postgres")))
    address, root = str(plan.sites[site].hosts[host].address), home.root(site, host)
    clients, peers = (f"http://{address}:{port}" for port in (_CLIENTS, _PEERS))
    argv = [
        "etcd", f"--name={host}", f"--data-dir={root}/var/lib/etcd/own", "--enable-grpc-gateway",
        f"--listen-client-urls={clients}", f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster={host}={peers}",
    ]  # fmt: skip
    prefix = tuple(home.network().prefix(site))
    return [Server(f"{site}/{host}/own-dcs", argv, root, address, _CLIENTS, prefix=prefix)]
