"""Writes straight to every PostgreSQL node of two sites, all the time: whoever takes one is a primary."""

import threading
import time
from contextlib import suppress
from typing import Self
from uuid import uuid4

import psycopg

from tasks.plan.plan import Plan

EVERY_S = 0.1
_INSERT = "insert into orders (id, item, quantity) values (%s, 'straight to a node', 1)"


class Samplers:
    """One writer a node; `taken` holds each write that was taken: asked for when, done when, and where."""

    def __init__(self, plan: Plan) -> None:
        self.taken: list[tuple[float, float, str]] = []
        self._plan, self._ended = plan, threading.Event()
        self._threads = [
            threading.Thread(target=self._sample, args=(site, address), daemon=True)
            for site in plan.sites
            for address in plan.sites[site].addresses("postgres")
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(5)

    def overlaps(self, since: float) -> int:
        """Split-brain writes since a moment: asked for at the old site after the new one's first.

        The service moves once in a case: whoever writes last is the new one.
        """
        taken = sorted(entry for entry in self.taken if entry[0] >= since)
        if not taken:
            return 0
        newcomer = taken[-1][2]
        first = min(done for _, done, site in taken if site == newcomer)
        return sum(1 for asked, _, site in taken if site != newcomer and asked > first)

    def _sample(self, site: str, address: str) -> None:
        connection: psycopg.Connection | None = None
        while not self._ended.wait(EVERY_S):
            try:
                connection = connection or self._connect(address)
                asked = time.time()
                connection.execute(_INSERT, (uuid4(),))
                self.taken.append((asked, time.time(), site))
            except psycopg.Error as error:
                if connection is not None and not isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
                    with suppress(psycopg.Error):
                        connection.close()
                    connection = None

    def _connect(self, address: str) -> psycopg.Connection:
        return psycopg.connect(
            host=address,
            dbname=self._plan.service.database,
            user="postgres",
            password=self._plan.secret("database_superuser"),
            connect_timeout=2,
            options="-c statement_timeout=1000 -c log_min_messages=panic",
            autocommit=True,
        )
