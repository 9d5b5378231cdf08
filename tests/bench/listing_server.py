"""A store that lists as many keys as it is told and holds none: ListObjectsV2 over TLS on loopback."""

import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

PAGE = 1000
WAL = "pgbackrest/archive/main/15-1"
SHA = "a" * 40
ITEM = (
    "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
    '<ETag>"0123456789abcdef0123456789abcdef"</ETag><Size>16384</Size>'
    "<StorageClass>STANDARD</StorageClass></Contents>"
)
PAGE_OF = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix>{prefix}</Prefix>'
    "<KeyCount>{count}</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>{more}</IsTruncated>{next}{items}"
    "</ListBucketResult>"
)


def key(number: int) -> str:
    """The key of a number, in the order of the numbers."""
    name = f"00000001{number >> 8:08X}{number & 255:08X}"
    return f"{WAL}/{name[:16]}/{name}-{SHA}.zst"


class Handler(BaseHTTPRequestHandler):
    """Lists, and reads info files; everything else is not there."""

    protocol_version = "HTTP/1.1"
    keys = 0

    def do_GET(self) -> None:
        """Answer a listing, or an info file."""
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if "list-type" in query:
            self._answer(200, self._page(query).encode(), "application/xml")
        elif ".info" in url.path:
            self._answer(200, b"info", "application/octet-stream")
        else:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>", "application/xml")

    def _page(self, query: dict[str, str]) -> str:
        prefix, first = query.get("prefix", ""), int(query.get("continuation-token", "0"))
        keys = self.keys if WAL.startswith(prefix.rstrip("/")) and "delimiter" not in query else 0
        last = min(first + PAGE, keys)
        items = "".join(ITEM.format(key=key(number)) for number in range(first, last))
        more = last < keys
        following = f"<NextContinuationToken>{last}</NextContinuationToken>" if more else ""
        count = max(0, last - first)
        return PAGE_OF.format(prefix=prefix, count=count, more=str(more).lower(), next=following, items=items)

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"0123456789abcdef0123456789abcdef"')
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve: the folder of server.crt and server.key, the address, the port, the number of keys."""
    folder, address, port, keys = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    Handler.keys = keys
    server = ThreadingHTTPServer((address, port), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    sys.stdout.write("serving\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
