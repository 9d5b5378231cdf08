"""What one instance of the service is made of, and its life."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import httpx
from fastapi import Depends, FastAPI, Request

from infra.service.admission import Admission
from infra.service.cache import OrderCache
from infra.service.config import Config
from infra.service.database import Database
from infra.service.flags import Flags
from infra.service.health import Check
from infra.service.note_taking import NoteTaking
from infra.service.notes import Notes
from infra.service.orders import Orders
from infra.service.queue import NoteQueue
from infra.service.redis_master import RedisMaster


@dataclass(frozen=True)
class Parts:
    """What an instance is made of."""

    site: str
    database: Database
    master: RedisMaster
    orders: Orders
    cache: OrderCache
    notes: Notes
    note_taking: NoteTaking
    flags: Flags
    admission: Admission
    checks: dict[str, Check]

    @classmethod
    def of(cls, config: Config, checks: dict[str, Check]) -> "Parts":
        """The parts of an instance; `checks` are looked at beside those of its own."""
        database, master = Database(config.database), RedisMaster(config.redis)
        orders, notes, flags = Orders(database), Notes(database), Flags(master, config.flags)
        return cls(
            site=config.site,
            database=database,
            master=master,
            orders=orders,
            cache=OrderCache(master),
            notes=notes,
            note_taking=NoteTaking(database, notes, NoteQueue(master), flags),
            flags=flags,
            admission=Admission(config.capacity, flags),
            checks={"database": orders.check, "redis": master.check, **checks},
        )


def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


Running = Annotated[Parts, Depends(_parts)]


@asynccontextmanager
async def lifespan(config: Config, app: FastAPI) -> AsyncIterator[None]:
    """Open an instance, and close it when it ends."""
    async with httpx.AsyncClient(timeout=1.5) as client:
        checks: dict[str, Check] = {}
        if config.external_api is not None:
            checks["external_api"] = partial(_check_external_api, client, config.external_api)
        app.state.parts = parts = Parts.of(config, checks)
        await parts.database.open()
        beside = [asyncio.create_task(each) for each in (parts.flags.follow(), parts.note_taking.follow())]
        yield
        for each in beside:
            each.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await parts.database.close()
        await parts.master.close()


async def _check_external_api(client: httpx.AsyncClient, url: str) -> None:
    (await client.get(url)).raise_for_status()
