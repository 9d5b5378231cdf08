"""The certificate that a server shows, and whether it also speaks without one."""

import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from tasks.errors import Permanent, Transient
from tasks.plan.plan import Plan

_TIMEOUT_S = 3.0
_PLAIN = b"GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True)
class Certificate:
    """A certificate that was verified: its chain, its names, its dates."""

    subject: str
    until: datetime


def verified(address: str, port: int, authority: str) -> Certificate:
    """Let a server show its certificate, and verify it as a client would.

    Args:
        address: what the certificate must be for.
        port: the server's.
        authority: PEM of the authority that must have signed it.

    Raises:
        Permanent: it is not trusted: another authority, another name, expired or not yet valid.
        Transient: the server does not answer.
    """
    context = ssl.create_default_context(cadata=authority)
    try:
        with (
            socket.create_connection((address, port), _TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=address) as secured,
        ):
            shown = secured.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        why = f"{address}:{port}: {error.verify_message}"
        raise Permanent(
            "the certificate is not trusted", why, "renew it, signed by the plan's authority"
        ) from error
    except ssl.SSLError as error:
        raise Permanent(f"{address}:{port} does not speak TLS", error.reason or str(error)) from error
    except OSError as error:
        raise Transient(f"{address}:{port} does not answer", str(error)) from error
    until = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC)
    return Certificate(str(shown.get("subject", "")), until)


def store_until(plan: Plan, site: str) -> datetime:
    """Until when the certificate is valid that a site's store shows.

    Raises:
        Permanent, Transient: see `verified`.
    """
    store = urlsplit(plan.sites[site].storage.endpoint)
    return verified(store.hostname or "", store.port or 443, plan.secret("ca_certificate")).until


def answers_in_clear(address: str, port: int) -> bool:
    """Whether a port that should speak TLS serves a plaintext request all the same.

    An HTTP error in clear text is a refusal: nothing of the service was given away.

    Raises:
        Transient: the server does not answer.
    """
    try:
        with socket.create_connection((address, port), _TIMEOUT_S) as plain:
            plain.settimeout(_TIMEOUT_S)
            plain.sendall(_PLAIN % address.encode())
            answer = plain.recv(64)
    except (ConnectionResetError, BrokenPipeError, TimeoutError):
        return False
    except OSError as error:
        raise Transient(f"{address}:{port} does not answer", str(error)) from error
    return answer.startswith(b"HTTP/") and answer.partition(b" ")[2][:1] != b"4"
