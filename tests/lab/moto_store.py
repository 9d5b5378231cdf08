"""S3's control plane as moto speaks it, over TLS at several addresses; started as a program of its own.

Arguments: PORT, then ADDRESS=FOLDER for each address, where FOLDER holds server.crt and server.key. moto
replicates nothing, so the status of an object is in its key: one that holds "status-failed" has FAILED.
"""

import sys
import threading

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server


def with_status(app):
    def answer(environ, start_response):
        _, found, status = environ["PATH_INFO"].partition("status-")

        def started(line, headers, *rest):
            more = [("x-amz-replication-status", status.partition("/")[0].upper())] if found else []
            return start_response(line, [*headers, *more], *rest)

        return app(environ, started)

    return answer


if __name__ == "__main__":
    port, *stores = sys.argv[1:]
    application = with_status(DomainDispatcherApplication(create_backend_app))
    for store in stores:
        address, _, folder = store.partition("=")
        certificate = (f"{folder}/server.crt", f"{folder}/server.key")
        server = make_server(
            address, int(port), application, threaded=True, request_handler=MotoRequestHandler,
            ssl_context=certificate,
        )  # fmt: skip
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)  # noqa: T201
    threading.Event().wait()
