"""Nodes that speak Patroni's REST API on loopback, over one record of a scope's configuration."""

import base64
import json
import re
import threading
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from infra.lab.home import DEFAULT_PLAN
from tasks.plan.load import load_plan


def merged(target, patch):
    """RFC 7396, as Patroni merges."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


class Scope:
    """A cluster with a DCS of its own.

    Attributes:
        config: what its DCS holds.
        roles: what each node says it is, by name; a standby once its configuration says so.
        stubborn: nodes that stay a primary whatever is configured.
        extra: members that the plan does not have.
        refusing: a status to answer every change with; 0 for none.
        patches: every change that was asked for.
    """

    def __init__(self, plan, site):
        self.plan, self.site = plan, site
        self.config = {"ttl": 20, "slots": {"there": {"type": "physical"}}}
        self.names = list(plan.sites[site].running("postgres"))
        self.stubborn, self.extra = set(), []
        self.refusing, self.patches = 0, []

    def role(self, name):
        first = name == self.names[0]
        if self.config.get("standby_cluster") and name not in self.stubborn:
            return "standby_leader" if first else "replica"
        return "primary" if first or name in self.stubborn else "replica"

    def takes_writes(self, name):
        return self.role(name) == "primary"

    def answer(self, name, method, path, login, body):
        if method == "PATCH":
            self.patches.append(body)
            if login != f"patroni:{self.plan.secret('patroni_api')}":
                return 401, {}
            if self.refusing:
                return self.refusing, {}
            self.config = merged(self.config, body)
            return 200, self.config
        told = {
            "/config": self.config,
            "/patroni": {"state": "running", "role": self.role(name)},
            "/cluster": {"members": [self.member(each) for each in (*self.names, *self.extra)]},
        }
        return 200, told[path]

    def member(self, name):
        leads = name == self.names[0]
        role = "replica"
        if leads:
            role = "standby_leader" if self.config.get("standby_cluster") else "leader"
        host = self.plan.sites[self.site].hosts.get(name)
        return {"name": name, "host": str(host.address) if host else "", "role": role, "state": "running"}


@contextmanager
def answering(scope, *names):
    """These nodes of the scope listen; the others are silent."""
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(_node(scope, name))
        yield scope


@contextmanager
def _node(scope, name):
    class Node(BaseHTTPRequestHandler):
        def handle_any(self):
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            given = self.headers.get("Authorization", "").removeprefix("Basic ")
            login = base64.b64decode(given).decode()
            body = json.loads(content) if content else None
            status, told = scope.answer(name, self.command, self.path, login, body)
            text = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_PATCH = handle_any  # noqa: N815 - http.server calls them by these names

        def log_message(self, *args):
            pass

    address = str(scope.plan.sites[scope.site].hosts[name].address)
    with ThreadingHTTPServer((address, 8008), Node) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()


def plan_with_own_dcs(folder, commands=()):
    """The shipped plan on addresses of its own; its primary site has a DCS of its own."""
    text = re.sub(r"\b127\.([1-3])\.", r"127.8\1.", DEFAULT_PLAN.read_text())
    fence = "\n    fence: " + json.dumps({"commands": list(commands)}) if commands else ""
    text = text.replace('role: "primary"', f'role: "primary"\n    dcs: "own"{fence}', 1)
    file = folder / "plan.yaml"
    file.write_text(text)
    secrets = folder / "secrets"
    secrets.mkdir(exist_ok=True)
    for name in ("patroni_api", "database_superuser"):
        (secrets / name).write_text(f"the {name}")
    return load_plan(file)
