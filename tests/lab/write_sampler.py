"""Tries to write to a site every 100 ms, straight at its PostgreSQL nodes and through its own gateway.

`python write_sampler.py PLAN SITE` runs inside the site's network until its standard input closes, then
prints what became of the attempts as JSON: {target: {outcome: count}}. An acknowledged write is "written".
"""

import json
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg

from tasks.plan.load import load_plan

EVERY_S = 0.1
INSERT = "insert into orders (id, item, quantity) values (%s, 'written to the old site', 1)"


class Node:
    """One PostgreSQL node; its connection is kept while it works, so that a sample costs one statement."""

    def __init__(self, plan, address):
        self._where = {
            "host": address,
            "dbname": plan.service.database,
            "user": "postgres",
            "password": plan.secret("database_superuser"),
            "connect_timeout": 2,
            "options": "-c statement_timeout=1000 -c log_min_messages=panic",
            "autocommit": True,
        }
        self._connection = None

    def attempt(self):
        try:
            self._connection = self._connection or psycopg.connect(**self._where)
            self._connection.execute(INSERT, (uuid4(),))
        except psycopg.errors.ReadOnlySqlTransaction:
            return "read-only"
        except psycopg.Error as error:
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            return type(error).__name__
        return "written"


class Gateway:
    """The site's own way in for its users."""

    def __init__(self, address):
        self._client = httpx.Client(base_url=f"http://{address}:8080", timeout=2)

    def attempt(self):
        order = {"id": str(uuid4()), "item": "written to the old site", "quantity": 1}
        try:
            answer = self._client.post("/orders", json=order)
        except httpx.HTTPError as error:
            return type(error).__name__
        return "written" if answer.status_code == httpx.codes.CREATED else str(answer.status_code)


def sample(target, counts, ended):
    while not ended.is_set():
        began = time.monotonic()
        counts[target.attempt()] += 1
        ended.wait(max(0.0, EVERY_S - (time.monotonic() - began)))


def main(plan_file, site):
    plan = load_plan(Path(plan_file))
    targets = {address: Node(plan, address) for address in plan.sites[site].addresses("postgres")}
    targets |= {f"gateway {address}": Gateway(address) for address in plan.sites[site].addresses("gateway")}
    counts = {name: Counter() for name in targets}
    ended = threading.Event()
    threads = [
        threading.Thread(target=sample, args=(target, counts[name], ended), daemon=True)
        for name, target in targets.items()
    ]
    for thread in threads:
        thread.start()
    sys.stdout.write("sampling\n")
    sys.stdout.flush()
    sys.stdin.read()
    ended.set()
    for thread in threads:
        thread.join(5)
    sys.stdout.write(json.dumps(counts))


if __name__ == "__main__":
    main(*sys.argv[1:])
