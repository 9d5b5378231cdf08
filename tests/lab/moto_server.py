"""moto's server, for tests: AWS's control plane over real HTTP on a loopback port of its own."""

import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

PAIR = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
PATIENCE_S = 60


@contextmanager
def moto_server(folder):
    """Serve it, with its log in a folder; yields its endpoint."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    endpoint, program = f"http://127.0.0.1:{port}", Path(sys.executable).with_name("moto_server")
    argv = [sys.executable, str(program), "-H", "127.0.0.1", "-p", str(port)]
    with (folder / "log").open("wb") as log, subprocess.Popen(argv, stdout=log, stderr=log) as server:
        try:
            wait_for(f"{endpoint}/moto-api/")
            yield endpoint
        finally:
            server.kill()


def wait_for(url, seconds=PATIENCE_S):
    """Its first answer, whatever that is."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            return httpx.get(url, timeout=2, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.1)
    return pytest.fail(f"{url} does not answer")
