"""The shipped plan on addresses of its own, with one real member of its etcd alive."""

import re
import socket
import subprocess
import time
from contextlib import contextmanager, suppress

import pytest

from infra.lab.home import DEFAULT_PLAN
from tasks.clients.etcd import Etcd
from tasks.plan.load import load_plan


@contextmanager
def lone_etcd(folder):
    """Yields the plan; the member ends with the block."""
    file = folder / "plan.yaml"
    file.write_text(re.sub(r"\b127\.([1-3])\.", r"127.7\1.", DEFAULT_PLAN.read_text()))
    plan = load_plan(file)
    with running_member(plan, folder):
        yield plan


@contextmanager
def running_member(plan, folder):
    """The DR site's member of a plan's etcd alone; it ends with the block."""
    address = member(plan)
    argv = [
        "etcd", f"--data-dir={folder / 'etcd'}", "--enable-grpc-gateway",
        f"--listen-client-urls=http://{address}:2379", f"--advertise-client-urls=http://{address}:2379",
        f"--listen-peer-urls=http://{address}:2380", f"--initial-advertise-peer-urls=http://{address}:2380",
        f"--initial-cluster=default=http://{address}:2380",
    ]  # fmt: skip
    with (folder / "etcd.log").open("w") as log, subprocess.Popen(argv, stdout=log, stderr=log) as etcd:
        try:
            wait_for(address)
            Etcd([address], 20).get("whatever")  # it leads itself
            yield
        finally:
            etcd.kill()


def member(plan):
    return plan.sites[plan.site_of("dr")].addresses("etcd")[0]


def wait_for(address):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection((address, 2379), 1):
            return
        time.sleep(0.1)
    pytest.fail(f"etcd at {address} does not listen")
