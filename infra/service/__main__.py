"""One instance of the service: `python -m infra.service CONFIG.json`; SIGTERM ends it gracefully."""

from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from infra.service.app import create_app
from infra.service.config import read_config

# Plain tracebacks: the others may print the values of local variables.
app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def main(config: Annotated[Path, typer.Argument(help="the instance's configuration (JSON)")]) -> None:
    """Serve until SIGTERM, then finish the requests in flight."""
    settings = read_config(config)
    uvicorn.run(
        create_app(settings),
        host=settings.listen,
        port=settings.port,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=3,
    )


if __name__ == "__main__":
    app()
