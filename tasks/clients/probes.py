"""The plan's own checks, made: one HTTP request, one query, one cached key, one command.

Each returns what was seen, raises Permanent where that is not what the plan expects, and Transient where
it cannot be told.
"""

import json
import time
from collections.abc import Mapping
from typing import Any

import httpx
from psycopg.rows import tuple_row

from tasks.clients import patroni, redis_site
from tasks.clients.http import PROOF, request
from tasks.clients.layout import Layout
from tasks.clients.postgres import connected
from tasks.clients.remote import run_on
from tasks.errors import DrError, Permanent, Transient
from tasks.plan.http_probe import HttpProbe
from tasks.plan.plan import Plan
from tasks.plan.validation import CacheProbe, CommandProbe, Probe, SqlProbe

Words = Mapping[str, str]
_POLL_S = 0.2
_SHOWN = 300
# The program's own exit code is an answer, not a failure of the remote shell.
_TOLD = 'out=$("$@" 2>&1 </dev/null); code=$?; printf "%s\\n%s" "$code" "$out"'


def probe(plan: Plan, site: str, wanted: Probe, words: Words) -> str:
    """Make one check of the plan's.

    Args:
        plan: the plan.
        site: the site that is validated.
        wanted: the check.
        words: what stands for `{id}` and the like.

    Returns:
        what was seen.

    Raises:
        Permanent: it is not what the plan expects.
        Transient: it cannot be told.
    """
    match wanted.kind:
        case HttpProbe() as http:
            return ask(plan.service.endpoint.url, http, words)
        case SqlProbe() as sql:
            return query(plan, site, sql, words)
        case CacheProbe() as cached:
            return look_up(plan, site, cached, words)
        case CommandProbe() as command:
            return execute(plan, site, command, words)


def ask(base_url: str, wanted: HttpProbe, words: Words) -> str:
    """Make a request and hold the answer against what it must be."""
    limit, began = wanted.within.total_seconds(), time.monotonic()
    url, body = base_url + filled(wanted.path, words), filled(wanted.body, words)
    try:
        timeout = httpx.Timeout(max(limit, 1.0), connect=min(limit, 2.0))
        answer = request(wanted.method, url, json=body, headers=PROOF, timeout=timeout)
    except httpx.ReadTimeout as error:
        raise Permanent(f"{wanted.method} {url} was too slow", f"no answer in {limit:g} s") from error
    except httpx.HTTPError as error:
        raise Transient(f"{url} does not answer", type(error).__name__) from error
    took = time.monotonic() - began
    require_answer(f"{wanted.method} {url}", wanted, words, answer.status_code, answer.text)
    if took > limit:
        raise Permanent(f"{wanted.method} {url} was too slow", f"{took:.2f} s of {limit:g} s")
    return f"{wanted.method} {wanted.path}: {answer.status_code} in {took * 1000:.0f} ms"


def require_answer(asked: str, wanted: HttpProbe, words: Words, status: int, text: str) -> None:
    """Hold an answer's status and fields against what they must be.

    Raises:
        Permanent: it is another.
    """
    if status != wanted.status:
        raise Permanent(f"{asked} did not answer {wanted.status}", f"{status} {text[:_SHOWN]}")
    if wanted.fields:
        _require_fields(_parsed(text), filled(wanted.fields, words))


def query(plan: Plan, site: str, wanted: SqlProbe, words: Words) -> str:
    """Ask the site's leader once, or its other nodes until it holds on each."""
    text, leader = filled(wanted.query, words), patroni.leader(plan, site)
    expected = filled(wanted.expect, words)
    limit = wanted.within.total_seconds()
    if wanted.node == "primary":
        _require_rows(plan, leader.host, text, expected, limit)
        return f"holds on {leader.name}"
    nodes = [each for each in patroni.members(plan, site) if each.name != leader.name]
    if not nodes:
        raise Transient(f"{site} has no standby to ask")
    deadline, began = time.monotonic() + limit, time.monotonic()
    for node in nodes:
        _until_it_holds(plan, node.host, text, expected, deadline)
    return f"holds on {', '.join(node.name for node in nodes)} after {time.monotonic() - began:.1f} s"


def look_up(plan: Plan, site: str, wanted: CacheProbe, words: Words) -> str:
    """Read a key from the site's Redis."""
    key = filled(wanted.key, words)
    kept = redis_site.get(plan, site, key)
    if kept is None:
        raise Permanent(f"Redis has no {key}", site)
    if wanted.fields:
        _require_fields(_parsed(kept), filled(wanted.fields, words))
    return f"{key} is kept at {site}"


def execute(plan: Plan, site: str, wanted: CommandProbe, words: Words) -> str:
    """Run a program on every host of the site that the plan gives it."""
    hosts = plan.sites[site].running(wanted.program)
    if not hosts:
        raise Transient(f"no host of {site} runs {wanted.program}")
    for name, host in hosts.items():
        root = str(Layout.of(plan, site, name).root)
        here = {**words, "host": name, "address": str(host.address), "root": root}
        argv = [filled(part, here) for part in wanted.argv]
        told = run_on(
            plan, str(host.address), ["sh", "-c", _TOLD, "sh", *argv], timeout=wanted.within.total_seconds()
        )
        code, _, output = told.partition("\n")
        if code != str(wanted.exit_code):
            raise Permanent(
                f"{argv[0]} on {name} did not exit {wanted.exit_code}", f"{code}: {output[-_SHOWN:]}"
            )
    return f"exit {wanted.exit_code} on {', '.join(hosts)}"


def filled(value: Any, words: Words) -> Any:
    """A value of the plan with `{name}` replaced in every text of it."""
    match value:
        case str():
            for name, word in words.items():
                value = value.replace(f"{{{name}}}", word)
            return value
        case dict():
            return {key: filled(item, words) for key, item in value.items()}
        case list():
            return [filled(item, words) for item in value]
    return value


def differences(answer: Any, fields: Mapping[str, Any]) -> list[str]:
    """Where a JSON answer does not hold what it must; of a list's items, one must hold all of it."""
    if isinstance(answer, list):
        if any(not differences(item, fields) for item in answer if not isinstance(item, list)):
            return []
        return [f"none of {len(answer)} items holds {json.dumps(dict(fields))}"]
    return [
        f"{path} is {json.dumps(seen)[:_SHOWN]}, not {json.dumps(value)}"
        for path, value in fields.items()
        if (seen := field_at(answer, path)) != value or isinstance(seen, bool) != isinstance(value, bool)
    ]


def field_at(answer: Any, path: str) -> Any:
    """The value at a dotted path of a JSON answer; None where there is none."""
    for part in path.split("."):
        answer = answer.get(part) if isinstance(answer, dict) else None
    return answer


def _require_fields(answer: Any, fields: Mapping[str, Any]) -> None:
    if wrong := differences(answer, fields):
        raise Permanent("the answer does not hold what it must", "; ".join(wrong))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise Permanent("the answer is no JSON", text[:_SHOWN]) from error


def _until_it_holds(plan: Plan, address: str, text: str, expected: str | None, deadline: float) -> None:
    while True:
        try:
            return _require_rows(plan, address, text, expected, max(1.0, deadline - time.monotonic()))
        except DrError:
            if time.monotonic() > deadline:
                raise
        time.sleep(_POLL_S)


def _require_rows(plan: Plan, address: str, text: str, expected: str | None, timeout: float) -> None:
    rows, value = _rows(plan, address, text, timeout)
    if expected is None and rows:
        raise Permanent(
            f"the query returns {rows} rows, and must return none", f"such as {value} at {address}"
        )
    if expected is not None and (rows != 1 or value != expected):
        seen = f"{value!r} in {rows} rows at {address}"
        raise Permanent(f"the query does not return {expected!r}", seen)


def _rows(plan: Plan, address: str, text: str, timeout: float) -> tuple[int, str | None]:
    """How many rows a query returns, and the first column of the first as PostgreSQL writes it."""
    with connected(plan, address, timeout=timeout) as connection:
        connection.execute("set default_transaction_read_only = on")
        # Prepared: the protocol then takes one statement and no more.
        with connection.cursor(row_factory=tuple_row) as cursor:
            result = cursor.execute(text.encode(), prepare=True).pgresult
        if result is None or not result.nfields:
            raise Permanent("the check's statement is no query", text[:_SHOWN])
        value = result.get_value(0, 0) if result.ntuples else None
        return result.ntuples, value.decode() if value is not None else None
