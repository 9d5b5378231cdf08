"""What the servers really run with: their settings as they tell them, and the files they were started from.

Nothing secret leaves this module: settings and lines that hold one are masked by name, and the plan's own
secrets by their text.

Source: Patroni manual, "Patroni REST API"; PostgreSQL manual, "pg_settings"; Redis manual, "CONFIG GET",
"SENTINEL MASTERS"; PgBouncer manual, "Admin console"; HAProxy management guide, "show stat"; etcd manual,
"API reference: gRPC gateway".
"""

import base64
import csv
import io
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import redis

from tasks.clients import pgbouncer, postgres
from tasks.clients.http import request
from tasks.clients.layout import Layout, service_file
from tasks.clients.masking import masked, masker, without_secrets
from tasks.clients.remote import run_on
from tasks.errors import DrError, Permanent, Transient
from tasks.plan.plan import Plan
from tasks.plan.sites import Program

Settings = Mapping[str, Any]

FILES: Mapping[Program, tuple[str, ...]] = {
    "etcd": ("etc/etcd/etcd.yml",),
    "postgres": (
        "etc/patroni/10-patroni.yml",
        "etc/patroni/from_repository.py",
        "etc/patroni/pg_isready",
        "etc/pgbackrest/pgbackrest.conf",
    ),
    "gateway": ("etc/haproxy/haproxy.cfg",),
    "pgbouncer": ("etc/pgbouncer/pgbouncer.ini",),
    "redis": ("etc/redis/redis.conf",),
    "sentinel": ("etc/redis/sentinel.conf",),
    "service": ("etc/service/service.json",),
    "control": ("etc/postgresql/postgresql.conf",),
}
"""The files without secrets of each program, below a host's root: those that `infra.render` writes."""

EDGE = "edge"
"""Where the public endpoint stands, which is in no site."""

_TIMEOUT_S = 5.0
_HTTP = httpx.Timeout(_TIMEOUT_S, connect=1.0)
_READ = 'for f; do if [ -r "$f" ]; then echo "$f $(base64 -w0 "$f")"; else echo "$f"; fi; done'
_SETTINGS = """
select name, setting from pg_settings
where source not in ('default', 'session', 'client', 'override')
   or name in ('archive_mode', 'archive_command', 'archive_timeout', 'restore_command')
"""


@dataclass(frozen=True)
class Running:
    """One program of a host, as it runs.

    Attributes:
        site: the host's site, or EDGE.
        host: the host.
        program: the program.
        settings: what it says itself, by name.
        files: the text of its files by path below the host's root; None for one that is not there.
        unknown: why it could not be asked; empty where it could.
    """

    site: str
    host: str
    program: str
    settings: Settings = field(default_factory=dict)
    files: Mapping[str, str | None] = field(default_factory=dict)
    unknown: str = ""


def capture(plan: Plan) -> tuple[Running, ...]:
    """Everything that the plan's hosts run with; what cannot be asked says why.

    Raises:
        Permanent: the plan's secrets cannot be read, without which nothing can be masked.
    """
    hide = masker(plan)
    wanted = [
        (site_name, host_name, program)
        for site_name, site in plan.sites.items()
        for host_name, host in site.hosts.items()
        for program in host.runs
        if program in FILES
    ]
    with ThreadPoolExecutor(8) as pool:
        hosts = list(pool.map(lambda each: _capture(plan, hide, *each), wanted))
        edge = pool.submit(_capture_edge, plan).result()
    return (*hosts, *edge)


def files_of(plan: Plan, program: Program) -> tuple[str, ...]:
    """The files of a program without secrets, those of the further services included."""
    further = tuple(map(service_file, plan.services)) if program == "service" else ()
    return FILES[program] + further


def _capture(plan: Plan, hide: Callable[[str], str], site: str, host: str, program: Program) -> Running:
    address = str(plan.sites[site].hosts[host].address)
    try:
        files = _files(plan, site, host, files_of(plan, program))
        ask = _ASK.get(program)
        settings = ask(plan, site, address) if ask else {}
    except DrError as error:
        return Running(site, host, program, unknown=hide(f"{error.message}: {error.detail}"))
    shown = {path: None if text is None else hide(without_secrets(text)) for path, text in files.items()}
    told = json.loads(hide(json.dumps(masked(settings), default=str)))
    return Running(site, host, program, told, shown)


def _capture_edge(plan: Plan) -> tuple[Running, ...]:
    if plan.service.endpoint.driver != "haproxy":
        return ()
    proxy = plan.service.endpoint.proxy
    try:
        settings = _haproxy(str(proxy.address), proxy.admin_port)
    except DrError as error:
        return (Running(EDGE, "endpoint", "haproxy", unknown=f"{error.message}: {error.detail}"),)
    return (Running(EDGE, "endpoint", "haproxy", settings),)


def _files(plan: Plan, site: str, host: str, paths: tuple[str, ...]) -> dict[str, str | None]:
    root = Layout.of(plan, site, host).root
    address = str(plan.sites[site].hosts[host].address)
    names = {str(root / path): path for path in paths}
    told = run_on(plan, address, ["sh", "-c", _READ, "sh", *names], timeout=15)
    found: dict[str, str | None] = dict.fromkeys(paths)
    for line in told.splitlines():
        name, _, content = line.rpartition(" ") if " " in line else (line, "", "")
        if name in names and " " in line:
            found[names[name]] = base64.b64decode(content).decode("utf-8", "replace")
    return found


def _postgres(plan: Plan, _site: str, address: str) -> Settings:
    dynamic = _json("GET", f"http://{address}:8008/config")
    node = _json("GET", f"http://{address}:8008/patroni")
    with postgres.connected(plan, address, database="postgres", timeout=_TIMEOUT_S) as connection:
        rows = connection.execute(_SETTINGS).fetchall()
    return {
        "dynamic": dynamic,
        "patroni": node.get("patroni", {}),
        "role": node.get("role", ""),
        "server_version": node.get("server_version", ""),
        "parameters": {row["name"]: row["setting"] for row in sorted(rows, key=lambda row: row["name"])},
    }


def _redis(plan: Plan, _site: str, address: str) -> Settings:
    with _redis_at(address, 6379, plan.secret("redis")) as server:
        replication = server.info("replication")
        config = server.config_get("*")
    kept = ("role", "master_host", "master_port")
    return {"config": config, **{str(key): replication[key] for key in kept if key in replication}}


def _sentinel(_plan: Plan, _site: str, address: str) -> Settings:
    kept = ("ip", "port", "quorum", "down-after-milliseconds", "failover-timeout", "parallel-syncs")
    with _redis_at(address, 26379, None) as sentinel:
        masters: Any = sentinel.sentinel_masters()
    return {name: {key: told[key] for key in kept if key in told} for name, told in masters.items()}


def _pgbouncer(plan: Plan, _site: str, address: str) -> Settings:
    with pgbouncer.console(plan, address) as opened:
        config = opened.execute("show config").fetchall()
        databases = opened.execute("show databases").fetchall()
    served = {row["name"]: {key: row[key] for key in ("host", "port", "database")} for row in databases}
    return {"config": {row["key"]: row["value"] for row in config}, "databases": served}


def _gateway(plan: Plan, _site: str, address: str) -> Settings:  # noqa: ARG001 -- one signature
    return _haproxy(address, 9999)


def _etcd(_plan: Plan, _site: str, address: str) -> Settings:
    told = _json("POST", f"http://{address}:2379/v3/cluster/member/list", json={})
    members = sorted(told.get("members", []), key=lambda each: str(each.get("name")))
    return {
        "version": _json("GET", f"http://{address}:2379/version"),
        "members": {each.get("name", ""): each.get("clientURLs", []) for each in members},
    }


_ASK: Mapping[Program, Callable[[Plan, str, str], Settings]] = {
    "postgres": _postgres,
    "redis": _redis,
    "sentinel": _sentinel,
    "pgbouncer": _pgbouncer,
    "gateway": _gateway,
    "etcd": _etcd,
}


def _haproxy(address: str, port: int) -> Settings:
    """What does not move by itself: algorithms, addresses and weights of servers, who is out of rotation."""
    lines = _admin(address, port, "show info").splitlines()
    info = dict(line.split(": ", 1) for line in lines if ": " in line)
    rows = csv.DictReader(io.StringIO(_admin(address, port, "show stat").removeprefix("# ")))
    backends: dict[str, dict[str, Any]] = {}
    for row in rows:
        backend = backends.setdefault(row["pxname"], {"servers": {}})
        if row["svname"] == "BACKEND":
            backend["algorithm"] = row["algo"]
        elif row["svname"] != "FRONTEND":
            out = row["status"].startswith("MAINT")
            backend["servers"][row["svname"]] = {"address": row["addr"], "weight": row["uweight"], "out": out}
    kept = {name: info[name] for name in ("Version", "Maxconn", "Nbthread") if name in info}
    return {"info": kept, "backends": {name: each for name, each in backends.items() if "algorithm" in each}}


def _admin(address: str, port: int, command: str) -> str:
    try:
        with socket.create_connection((address, port), timeout=3) as admin:
            admin.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: admin.recv(65536), b"")).decode()
    except OSError as error:
        raise Transient(f"HAProxy at {address} does not answer its administrator", str(error)) from error


def _json(method: str, url: str, **content: Any) -> dict[str, Any]:
    try:
        return dict(request(method, url, timeout=_HTTP, **content).raise_for_status().json())
    except httpx.HTTPStatusError as error:
        raise Permanent(f"{url} refused", f"HTTP {error.response.status_code}") from error
    except (httpx.HTTPError, ValueError) as error:
        raise Transient(f"{url} does not answer", type(error).__name__) from error


@contextmanager
def _redis_at(address: str, port: int, password: str | None) -> Iterator["redis.Redis"]:
    client = redis.Redis(
        host=address, port=port, password=password, socket_timeout=_TIMEOUT_S,
        socket_connect_timeout=1.0, decode_responses=True,
    )  # fmt: skip
    try:
        yield client
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise Transient(f"Redis at {address}:{port} does not answer", str(error)) from error
    except redis.RedisError as error:
        raise Permanent(f"Redis at {address}:{port} refused", str(error)) from error
    finally:
        client.close()
