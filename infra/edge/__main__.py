"""`python -m infra.edge`: takes messages until it is killed."""

import ssl
import threading
from pathlib import Path
from typing import Annotated

import typer

from infra.edge.addresses import HTTPS_PORT, SMTP_PORT
from infra.edge.edge import serving

# Plain tracebacks: the others may print the values of local variables.
app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def main(
    address: Annotated[str, typer.Option(help="where to listen")],
    certificate: Annotated[Path, typer.Option(help="the certificate (PEM)")],
    key: Annotated[Path, typer.Option(help="its key (PEM)")],
    box: Annotated[Path, typer.Option(help="the file that takes the messages")],
) -> None:
    """Answer as the third parties and a mail server do, and keep what was sent."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with serving(address, (HTTPS_PORT, SMTP_PORT), tls, box):
        threading.Event().wait()


if __name__ == "__main__":
    app()
