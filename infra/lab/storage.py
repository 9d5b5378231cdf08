"""One site's object store in the lab: SeaweedFS, master, volume, filer and S3 gateway in one process."""

import json
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

# SeaweedFS also binds 127.0.0.1 and names its sockets by port alone, so every port of a site is counted
# from its S3 port, and the S3 ports of two sites lie at least PORT_SPAN apart.
PORT_SPAN = 40
_OFFSETS = {
    "s3.port": 0,
    "s3.port.grpc": 1,
    "master.port": 10,
    "master.port.grpc": 11,
    "volume.port": 20,
    "volume.port.grpc": 21,
    "filer.port": 30,
    "filer.port.grpc": 31,
}


class KeyPair(Protocol):
    """An access key and its secret."""

    @property
    def access_key(self) -> str:
        """The public half."""

    @property
    def secret_key(self) -> str:
        """The secret half."""


def storage_ports(endpoint: str) -> dict[str, int]:
    """Every TCP port the store of an S3 endpoint listens on, by SeaweedFS flag."""
    first = urlsplit(endpoint).port or 443
    return {flag: first + offset for flag, offset in _OFFSETS.items()}


def storage_sockets(endpoint: str) -> list[Path]:
    """The sockets a killed SeaweedFS leaves; it hard-codes /tmp: neither flag nor TMPDIR moves them."""
    ports = storage_ports(endpoint)
    servers = ("master", "volume", "filer", "s3")
    tmp = Path("/tmp")  # noqa: S108 - the server's choice
    return [tmp / f"seaweedfs-{name}-grpc-{ports[f'{name}.port.grpc']}.sock" for name in servers]


def storage_argv(endpoint: str, directory: Path, program: str) -> list[str]:
    """The command line of one site's store.

    The directory holds `identities.json` (made of `storage_identities`, its owner's only), `server.crt` and
    `server.key` (signed by the lab's CA, `IP:` and `DNS:` names) and an existing `data` directory.
    `https://ADDRESS:PORT/healthz` answers 200 when the store serves, about 3 s after its start.

    Args:
        endpoint: the plan's `https://ADDRESS:PORT`.
        directory: a short path: two sockets lie in it, and a socket's name has 108 bytes at most.
        program: the `weed` binary of SeaweedFS 4.48.
    """
    address = urlsplit(endpoint).hostname or ""
    flags: dict[str, str | int | Path] = {
        "ip": address,
        "ip.bind": address,
        "dir": directory / "data",
        "master.telemetry": "false",
        # A lone master needs no patience with its peers: at the default 10 s a restart takes 20 s.
        "master.electionTimeout": "1s",
        "master.volumeSizeLimitMB": 64,
        "volume.max": 0,
        "filer": "true",
        "filer.localSocket": directory / "filer.sock",
        "s3": "true",
        "s3.localSocket": directory / "s3.sock",
        "s3.config": directory / "identities.json",
        "s3.cert.file": directory / "server.crt",
        "s3.key.file": directory / "server.key",
        # A put to a misspelt bucket must fail, and a bucket with backups must not be deletable.
        "s3.autoCreateBucket": "false",
        "s3.allowDeleteBucketNotEmpty": "false",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
    }
    flags |= storage_ports(endpoint)
    return [program, "-logtostderr", "server", *(f"-{name}={value}" for name, value in flags.items())]


def storage_identities(bucket: str, owner: KeyPair, reader: KeyPair, status_bucket: str | None = None) -> str:
    """The JSON of `-s3.config`: an owner of one bucket and a reader of it, and nobody else.

    SeaweedFS lets only `Admin:BUCKET` create the bucket; a retained version resists even that identity. The
    status bucket is the owner's too. Its own policy lets anybody read it: an `anonymous` identity's `Read`
    would list unfinished uploads as well.
    """
    owned = [f"Admin:{each}" for each in (bucket, status_bucket) if each]
    granted = {"owner": (owner, owned), "reader": (reader, [f"Read:{bucket}", f"List:{bucket}"])}
    identities = [
        {
            "name": name,
            "credentials": [{"accessKey": pair.access_key, "secretKey": pair.secret_key}],
            "actions": actions,
        }
        for name, (pair, actions) in granted.items()
    ]
    return json.dumps({"identities": identities}, indent=2)
