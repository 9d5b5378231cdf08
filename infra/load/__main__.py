"""`python -m infra.load --url URL --ledger FILE`: sends orders; SIGTERM or SIGINT ends it cleanly."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from infra.load.generator import Settings, generate

# Plain tracebacks: the others may print the values of local variables.
app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def main(
    url: Annotated[str, typer.Option(help="the public endpoint")],
    ledger: Annotated[Path, typer.Option(help="where every attempt is written down")],
    rate: Annotated[float, typer.Option(min=0.1, help="orders a second")] = 50,
    workers: Annotated[int, typer.Option(min=1, help="connections kept open")] = 8,
    seconds: Annotated[float | None, typer.Option(min=0, help="when to stop; without it, when told")] = None,
) -> None:
    """Send orders at a steady rate and keep the ledger of those that were acknowledged."""
    asyncio.run(generate(Settings(url, ledger, rate, workers, seconds)))


if __name__ == "__main__":
    app()
