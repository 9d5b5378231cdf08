"""As much of the Kubernetes API as one object needs, over TLS: get, merge patch, optimistic concurrency.

Source: Kubernetes API concepts, "Resource versions", "Patch"; RFC 7396, JSON Merge Patch.
"""

import copy
import json
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def merged(target, patch):
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


class KubernetesApi:
    """The API's state.

    Attributes:
        object: the one object that it keeps.
        path: where it is.
        token: who may read and change it.
        meanwhile: called after each read, as another client that changes the object in between.
        failing: a status to answer everything with; 0 for none.
        delay: seconds before each answer.
        patches: every patch that was taken or refused.
    """

    def __init__(self, path, manifest, token):
        self.path, self.token = path, token
        self.object = copy.deepcopy(manifest)
        self.object["metadata"]["resourceVersion"] = "1"
        self.meanwhile, self.failing, self.delay = None, 0, 0
        self.patches = []
        self.lock = threading.Lock()

    def change(self, patch):
        """Change the object, as the API does: another version only where there is another content."""
        after = merged(self.object, patch)
        if after != self.object:
            after["metadata"]["resourceVersion"] = str(int(self.object["metadata"]["resourceVersion"]) + 1)
            self.object = after

    def answer(self, method, path, headers, body):
        """The status and content of an answer."""
        time.sleep(self.delay)
        given = headers.get("Authorization", "")
        if self.failing:
            return self.failing, status(self.failing, f"failing as planted, for {given}")
        if given != f"Bearer {self.token}":
            return 401, status(401, f"Unauthorized: {given}")
        if path != self.path:
            return 404, status(404, f"{path} not found")
        with self.lock:
            return self._read() if method == "GET" else self._patch(headers, json.loads(body))

    def _read(self):
        told = copy.deepcopy(self.object)
        if self.meanwhile:
            self.meanwhile()
        return 200, told

    def _patch(self, headers, patch):
        if headers.get("Content-Type") != "application/merge-patch+json":
            return 415, status(415, "unsupported media type")
        self.patches.append(patch)
        version = patch.get("metadata", {}).get("resourceVersion")
        if version is not None and version != self.object["metadata"]["resourceVersion"]:
            return 409, status(409, "the object has been modified; please apply your changes to the latest")
        self.change(patch)
        return 200, self.object


def status(code, message):
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message}


@contextmanager
def serving(api, address, folder):
    """Serve it over TLS with folder's server.crt and server.key; yields the port."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            code, content = api.answer(self.command, self.path, self.headers, body)
            data = json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PATCH = _answer  # noqa: N815 - the library's names

        def log_message(self, *_):
            pass

        def handle(self):
            # A client may give up, or not trust us.
            with suppress(ConnectionError, ssl.SSLError):
                super().handle()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")

    class Server(ThreadingHTTPServer):
        def finish_request(self, request, client_address):
            # The handshake belongs to the client's thread, not to the one that accepts.
            try:
                wrapped = context.wrap_socket(request, server_side=True)
            except (OSError, ssl.SSLError):
                return
            with wrapped:
                super().finish_request(wrapped, client_address)

    with Server((address, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
