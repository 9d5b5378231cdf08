"""Both servers of the edge, for as long as somebody wants them."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseServer, TCPServer, ThreadingTCPServer

from infra.edge.faults import Faults
from infra.edge.paging import Account
from infra.edge.smtp import Session
from infra.edge.web import Handler


class _Mail(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class _Web(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """Without asking the DNS for our name, as the library would."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]


@contextmanager
def serving(  # noqa: PLR0913 -- where, with which certificate, and how the third parties are
    address: str,
    ports: tuple[int, int],
    tls: ssl.SSLContext,
    box: Path,
    faults: Faults | None = None,
    *,
    account: Account | None = None,
) -> Iterator[tuple[int, int]]:
    """Take messages into a file while the block runs.

    Args:
        address: where to listen.
        ports: for HTTPS and for SMTP; 0 for any that is free.
        tls: the certificate, for HTTPS and for STARTTLS.
        box: the inbox's file.
        faults: how the third parties fail; not at all where None.
        account: what PagerDuty holds; an empty one where None.

    Yields:
        the ports.
    """
    about = {"box": box, "faults": faults or Faults()}
    handler = type("BoxHandler", (Handler,), {**about, "account": account or Account()})
    session = type("BoxSession", (Session,), {**about, "tls": tls})
    # Mail first: who sees the web answer may count on both.
    with _Mail((address, ports[1]), session) as mail, _Web((address, ports[0]), handler) as web:
        # The handshake is the handler's, in its own thread: nobody who is slow with it holds the others up.
        web.socket = tls.wrap_socket(web.socket, server_side=True, do_handshake_on_connect=False)
        with _running(mail), _running(web):
            yield web.server_port, mail.server_address[1]


@contextmanager
def _running(server: BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
