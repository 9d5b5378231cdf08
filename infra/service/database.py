"""The service's connections to PostgreSQL, through PgBouncer in transaction pooling mode."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from psycopg_pool import AsyncConnectionPool

from infra.service import config
from tasks.errors import Transient

# Seconds. statement_timeout (1 s, in schema.sql) comes first, then PostgreSQL is asked to cancel, then the
# connection is dropped. The pool gives up on a reconnection early, because the next request starts a new
# one at once: its own backoff would sleep through the database's return.
_POOL_TIMEOUT = 0.5
_DEADLINE = 1.2
_ABANDON = 1.5
_RECONNECT = 0.2


class Database:
    """The pool that all tables share.

    Attributes:
        away: whether the last use of the database failed.
    """

    def __init__(self, database: config.Database) -> None:
        self.away = False
        self._pool = AsyncConnectionPool(
            kwargs={
                "host": database.host,
                "port": database.port,
                "dbname": database.dbname,
                "user": database.user,
                "password": database.password,
                "application_name": "naas-service",
                "autocommit": True,
                # A statement prepared on one server connection is unknown to PgBouncer's next.
                "prepare_threshold": None,
                "connect_timeout": 2,
                "tcp_user_timeout": 2000,
            },
            min_size=2,
            max_size=10,
            timeout=_POOL_TIMEOUT,
            reconnect_timeout=_RECONNECT,
            check=AsyncConnectionPool.check_connection,
            open=False,
        )

    async def open(self) -> None:
        """Start connecting; a database that is away does not keep the service from starting."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close(timeout=2)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[psycopg.AsyncConnection]:
        """A connection, for 1.5 s at most.

        Raises:
            Transient: the database cannot be used, or the outcome of a commit is unknown.
        """
        try:
            # The inner deadline has psycopg ask for a cancel and wait for it; the outer one ends that wait.
            async with (
                asyncio.timeout(_ABANDON),
                asyncio.timeout(_DEADLINE),
                self._pool.connection() as connection,
            ):
                yield connection
        except (psycopg.Error, TimeoutError) as error:
            self.away = True
            detail = str(error).strip() or type(error).__name__
            raise Transient("the database is unavailable", detail) from error
        self.away = False
