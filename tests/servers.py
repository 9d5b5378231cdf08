"""Servers of a test's own, for as long as a block needs them."""

import threading
from contextlib import contextmanager


@contextmanager
def running(server):
    """Serve in a thread; nothing of it is left when the block ends."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
