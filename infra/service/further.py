"""A further service of the lab, which serves if what it needs does.

One instance: `python -m infra.service.further CONFIG.json`; SIGTERM ends it.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import httpx
import typer
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import Field, ValidationError

from infra.service.health import Check, examine
from tasks.errors import Permanent
from tasks.plan.base import Block
from tasks.plan.values import Port

# Plain tracebacks: the others may print the values of local variables.
app = typer.Typer(pretty_exceptions_enable=False)


class Further(Block):
    """One instance of a further service; `needs` are the health of other services, by name."""

    name: str
    listen: str
    port: Port
    site: str
    health: str
    needs: Annotated[dict[str, str], Field(default_factory=dict)]


@app.command()
def main(config: Annotated[Path, typer.Argument(help="the instance's configuration (JSON)")]) -> None:
    """Serve until SIGTERM."""
    settings = read_further(config)
    uvicorn.run(
        create_further(settings),
        host=settings.listen,
        port=settings.port,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=3,
    )


def read_further(path: Path) -> Further:
    """Read an instance's configuration.

    Raises:
        Permanent: the file is missing, is no JSON, or holds something else.
    """
    try:
        return Further.model_validate(json.loads(path.read_text()))
    except (OSError, ValueError, ValidationError) as error:
        raise Permanent(f"{path} is no configuration of a further service", str(error)) from error


def create_further(config: Further) -> FastAPI:
    """The application of one instance."""
    further = FastAPI(title=config.name, docs_url=None, redoc_url=None, lifespan=partial(_lifespan, config))

    @further.get(config.health)
    async def health(request: Request) -> JSONResponse:
        """The seed's health check; 503 while a service that it needs does not answer 200."""
        answer = await examine(request.app.state.checks)
        return JSONResponse(answer, 200 if answer["status"] == "healthy" else 503)

    @further.get("/")
    async def who() -> dict[str, str]:
        """Who answers, and where."""
        return {"service": config.name, "site": config.site}

    return further


@asynccontextmanager
async def _lifespan(config: Further, further: FastAPI) -> AsyncIterator[None]:
    async with httpx.AsyncClient(timeout=1.5, trust_env=False) as client:
        needs = config.needs.items()
        checks: dict[str, Check] = {name: partial(_answers, client, url) for name, url in needs}
        further.state.checks = checks
        yield


async def _answers(client: httpx.AsyncClient, url: str) -> None:
    (await client.get(url)).raise_for_status()


if __name__ == "__main__":
    app()
