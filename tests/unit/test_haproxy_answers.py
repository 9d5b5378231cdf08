"""HAProxy's administrator: an answer that was cut off is no answer, neither of servers nor to orders."""

import socketserver
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from tasks.clients.traffic import haproxy
from tasks.errors import Transient

HEAD = "# pxname,svname,status,uweight,\n"
STATS = HEAD + "sites,east,UP,100,\nsites,west,MAINT,100,\nsites,BACKEND,UP,100,\n\n"


@contextmanager
def proxy(stats=STATS, obeyed=lambda orders: "\n" * orders):
    """A plan whose endpoint's administrator answers so."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            asked = self.rfile.readline().decode().strip()
            told = stats if asked == "show stat" else obeyed(asked.count(";") + 1)
            self.wfile.write(told.encode())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = SimpleNamespace(address="127.0.0.1", admin_port=server.server_address[1])
        yield SimpleNamespace(service=SimpleNamespace(endpoint=SimpleNamespace(proxy=place)))
        server.shutdown()


def test_servers_are_told_and_moved():
    with proxy() as plan:
        assert haproxy.standing(plan) == {"east": (100, "UP"), "west": (0, "MAINT")}
        haproxy.move(plan, {"east": 0, "west": 100})


@pytest.mark.parametrize("stats", ["", "# pxn", HEAD, STATS[:-20], STATS[:-1]])
def test_an_answer_that_was_cut_off_is_asked_for_again(stats):
    with proxy(stats) as plan, pytest.raises(Transient, match="did not tell all"):
        haproxy.move(plan, {"east": 0, "west": 100})


@pytest.mark.parametrize("obeyed", [0, 2])
def test_orders_that_were_not_answered_are_not_obeyed(obeyed):
    with proxy(obeyed=lambda _: "\n" * obeyed) as plan, pytest.raises(Transient, match="hung up"):
        haproxy.move(plan, {"east": 0, "west": 100})
