"""Third parties on loopback that answer as they are told to, and a plan whose channels lead to them."""

import socket
import ssl
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer, ThreadingTCPServer

from servers import running

from infra.edge.smtp import Session
from infra.lab.home import DEFAULT_PLAN, Home, lab_plan
from infra.lab.secrets import EDGE, certificate_paths, make_secrets
from tasks.facts.incident import Incident
from tasks.plan.communication import Notifications
from tasks.plan.load import load_plan

ADDRESS = "127.0.0.10"
NOON = datetime(2026, 11, 23, 12, 0, 30, tzinfo=UTC)
INCIDENT = Incident(
    id="inc-20261123T120000Z-8a3b",
    service="naas-api",
    failed_site="us-east-1",
    to_site="us-west-2",
    epoch=1,
    reason="power loss",
    detected_at=NOON,
    triggered_at=NOON,
)


class Plans:
    """One folder of secrets, and plans beside them that differ in where the channels lead."""

    def __init__(self, folder):
        self.folder = folder
        path = folder / "plan.yaml"
        path.write_text(lab_plan(Home(folder), DEFAULT_PLAN, "loopback"))
        self.plan = load_plan(path)
        make_secrets(self.plan, folder)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(*certificate_paths(folder, EDGE))

    def leading(self, pagerduty=9, slack=9, email=9, **more):
        """A plan whose channels lead to these ports; `more` is added to a channel of that name's settings."""
        told = self.plan.notifications.model_dump(mode="json")
        told["pagerduty"]["endpoint"] = f"https://{ADDRESS}:{pagerduty}"
        told["slack"]["endpoint"] = f"https://{ADDRESS}:{slack}"
        told["email"]["smarthost"] = f"{ADDRESS}:{email}"
        for name, settings in more.items():
            told[name.removesuffix("_settings")] |= settings
        self.write("slack_webhook", f"https://{ADDRESS}:{slack}/services/T0/B0/the-secret-of-the-webhook")
        return self.plan.model_copy(update={"notifications": Notifications.model_validate(told)})

    def write(self, name, text):
        path = self.folder / "secrets" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def secret(self, name):
        return (self.folder / "secrets" / name).read_text()


@contextmanager
def answering(tls, *answers):
    """An HTTPS server with an answer (status, body, headers) for each request; the last one stays.

    Yields its port, and the list of what it was asked.
    """
    asked, left = [], list(answers)

    class Scripted(BaseHTTPRequestHandler):
        timeout = 5

        def do_POST(self):
            asked.append(self.rfile.read(int(self.headers["Content-Length"] or 0)).decode())
            status, body, headers = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(status)
            for name, value in {**headers, "Content-Length": len(body.encode())}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(body.encode())

        def do_GET(self):
            self.do_POST()

        def do_PATCH(self):
            self.do_POST()

        def log_message(self, *args):
            pass

    class Web(ThreadingHTTPServer):
        daemon_threads = True

        def server_bind(self):
            TCPServer.server_bind(self)
            self.server_name, self.server_port = self.server_address

    server = Web((ADDRESS, 0), Scripted)
    server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    with running(server):
        yield server.server_port, asked


@contextmanager
def mail_server(box, tls=None, session=Session):
    """A mail server; yields its port."""
    handler = type("Boxed", (session,), {"box": box, "tls": tls})

    class Mail(ThreadingTCPServer):
        daemon_threads = True

    server = Mail((ADDRESS, 0), handler)
    with running(server):
        yield server.server_address[1]


@contextmanager
def silent():
    """A port where connections are taken and nothing is ever said."""
    with socket.create_server((ADDRESS, 0)) as server:
        yield server.getsockname()[1]


def dead_port():
    with socket.create_server((ADDRESS, 0)) as server:
        return server.getsockname()[1]
