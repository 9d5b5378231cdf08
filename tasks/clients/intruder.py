"""Trying every door without a key and with a wrong one: who is let in, by the label of the attempt.

Each door is first tried with the right key, since a door that nobody passes tells nothing. Nothing is read
beyond that, and what is asked for changes nothing even where it is granted.
"""

import re
import secrets
import socket
from collections.abc import Mapping

import httpx
import psycopg

from tasks.clients.http import request
from tasks.clients.layout import SERVICE_ROLE, SUPERUSER
from tasks.clients.objects import Bucket, Location, Missing, location_of, public_location
from tasks.clients.status_store import PAGE
from tasks.errors import Permanent, Transient
from tasks.plan.plan import Plan
from tasks.plan.references import Credentials

Attempts = Mapping[str, bool]
_TIMEOUT_S = 3.0
_TIMEOUT = httpx.Timeout(5.0, connect=1.0)
_DENIED = {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}
# Removing a setting that is not there: a write that Patroni must not take from a stranger, and a change of
# nothing where it does.
_NO_CHANGE = {"naas_dr_no_such_setting": None}
# Otherwise libpq would look for a password of its own.
_NO_FILE = "/dev/null/none"
# How PostgreSQL 15, PgBouncer and libpq say so: while it connects, psycopg has no SQLSTATE.
_NOT_LET_IN = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|pg_hba\.conf rejects|no such user"
    r"|login rejected|is not permitted to log in"
)
_INTRUSION = "validation/written-by-an-intruder"


def at_postgres(plan: Plan, address: str) -> Attempts:
    """PostgreSQL of a node, as its superuser and as the service's role.

    Raises:
        Transient: it does not answer, or does not take the right password.
    """
    as_superuser = _at_database(plan, (address, 5432), SUPERUSER, "database_superuser")
    return {**as_superuser, **_at_database(plan, (address, 5432), SERVICE_ROLE, "database_service")}


def at_pgbouncer(plan: Plan, address: str) -> Attempts:
    """PgBouncer, as the service's role.

    Raises:
        Transient: it does not answer, or does not take the right password.
    """
    return _at_database(plan, (address, 6432), SERVICE_ROLE, "database_service")


def at_redis(plan: Plan, address: str) -> Attempts:
    """Redis of a host.

    Raises:
        Transient: it does not answer, or does not take the right password.
    """
    if not _redis_answers(address, plan.secret("redis")):
        raise Transient(f"Redis at {address} does not take the plan's password")
    return {
        "no password": _redis_answers(address, None),
        "a wrong password": _redis_answers(address, secrets.token_hex(16)),
    }


def at_patroni(plan: Plan, address: str) -> Attempts:
    """A write to Patroni's REST API.

    Raises:
        Transient: it does not answer, or does not take the right password.
    """
    if not _patroni_takes(address, ("patroni", plan.secret("patroni_api"))):
        raise Transient(f"Patroni at {address} does not take the plan's password")
    return {
        "no password": _patroni_takes(address, None),
        "a wrong password": _patroni_takes(address, ("patroni", secrets.token_hex(16))),
    }


def at_store(plan: Plan, site: str) -> Attempts:
    """A site's object store: anonymously, with a made-up key, with every other site's, as a writing reader.

    Raises:
        Transient: it does not answer, or does not take the right key.
    """
    own = location_of(plan, site, plan.sites[site].storage.owner)
    if not _lists(own, own.credentials):
        raise Transient(f"the store of {site} does not take the plan's key")
    others = {
        f"{role} key of {name}": plan.credentials(getattr(other.storage, role))
        for name, other in plan.sites.items()
        for role in ("owner", "reader")
        if name != site
    }
    wrong = {
        "a made-up key": Credentials(secrets.token_hex(10), secrets.token_hex(20)),
        "the right key with a wrong secret": Credentials(own.credentials.access_key, secrets.token_hex(20)),
        **{f"the {label}": pair for label, pair in others.items()},
    }
    return {
        "no key": _lists_anonymously(own),
        "no key, reading": _anybody_may(own, "GET", _INTRUSION),
        **{label: _lists(own, pair) for label, pair in wrong.items()},
        "its reader, writing": _reader_writes(plan, site),
    }


def at_status_bucket(plan: Plan, site: str) -> Attempts:
    """A site's status bucket, which anybody reads: what more a stranger may do.

    Raises:
        Transient: it does not answer, or does not take the right key.
    """
    own = public_location(plan, site)
    if not _lists(own, own.credentials):
        raise Transient(f"the store of {site} does not take the plan's key")
    return {
        "no key, listing": _lists_anonymously(own),
        "no key, writing": _writes_anonymously(own),
        # S3 takes the deletion of what is not there for done.
        "no key, deleting": _anybody_may(own, "DELETE", _INTRUSION),
    }


def reads_status_page(plan: Plan, site: str) -> bool | None:
    """Whether anybody can read a site's status page; None where none was published yet.

    Raises:
        Transient: the store does not answer.
    """
    own = public_location(plan, site)
    try:
        Bucket(own, _TIMEOUT_S).head(PAGE)
    except Missing:
        return None
    return _ask_anonymously(own, "GET", PAGE).is_success


def _at_database(plan: Plan, where: tuple[str, int], user: str, secret: str) -> Attempts:
    if not _connects(plan, where, user, plan.secret(secret)):
        raise Transient(f"{where[0]}:{where[1]} does not take the plan's password of {user}")
    return {
        f"{user} without a password": _connects(plan, where, user, ""),
        f"{user} with a wrong password": _connects(plan, where, user, secrets.token_hex(16)),
    }


def _connects(plan: Plan, where: tuple[str, int], user: str, password: str) -> bool:
    try:
        psycopg.connect(
            host=where[0], port=where[1], dbname=plan.service.database, user=user, password=password,
            passfile=_NO_FILE, connect_timeout=3, application_name="naas-dr",
        ).close()  # fmt: skip
    except psycopg.OperationalError as error:
        if (error.sqlstate or "").startswith("28") or _NOT_LET_IN.search(str(error)):
            return False
        hint = "see that it runs and is reached, then validate again"
        neither = f"{where[0]}:{where[1]} neither lets {user} in nor refuses"
        raise Transient(neither, str(error), hint) from error
    return True


def _redis_answers(address: str, password: str | None) -> bool:
    words = b"" if password is None else _command("AUTH", password)
    try:
        with socket.create_connection((address, 6379), _TIMEOUT_S) as client:
            client.settimeout(_TIMEOUT_S)
            client.sendall(words + _command("PING") + _command("QUIT"))
            answer = b"".join(iter(lambda: client.recv(4096), b""))
    except OSError as error:
        raise Transient(f"Redis at {address} does not answer", str(error)) from error
    return b"+PONG" in answer


def _command(*words: str) -> bytes:
    parts = [b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in words]
    return b"*%d\r\n" % len(words) + b"".join(parts)


def _patroni_takes(address: str, auth: tuple[str, str] | None) -> bool:
    url = f"http://{address}:8008/config"
    try:
        answer = request("PATCH", url, json=_NO_CHANGE, timeout=_TIMEOUT, auth=auth)
    except httpx.HTTPError as error:
        raise Transient(f"Patroni at {address} does not answer", type(error).__name__) from error
    return _lets_in(answer, f"Patroni at {address} neither takes nor refuses a write")


def _lists(location: Location, credentials: Credentials) -> bool:
    as_other = Location(
        location.endpoint, location.bucket, location.region, credentials, location.ca_certificate
    )
    try:
        Bucket(as_other, _TIMEOUT_S).children("no-such-folder")
    except Permanent as error:
        return _refused(error)
    return True


def _lists_anonymously(location: Location) -> bool:
    answer = _ask_anonymously(location, "GET", "?list-type=2&max-keys=1")
    return _lets_in(answer, f"{location.endpoint} neither lists nor refuses")


def _ask_anonymously(location: Location, method: str, what: str) -> httpx.Response:
    trust = location.ca_certificate or None
    url = f"{location.endpoint}/{location.bucket}/{what}"
    try:
        return request(method, url, timeout=_TIMEOUT, authority=trust)
    except httpx.HTTPError as error:
        raise Transient(f"{location.endpoint} does not answer", type(error).__name__) from error


def _anybody_may(location: Location, method: str, key: str) -> bool:
    """Whether the store does something with a key for a stranger; what is not there is an answer as well."""
    answer = _ask_anonymously(location, method, key)
    return answer.status_code == httpx.codes.NOT_FOUND or _lets_in(
        answer, f"{location.endpoint} neither takes nor refuses {method}"
    )


def _writes_anonymously(location: Location) -> bool:
    taken = _anybody_may(location, "PUT", _INTRUSION)
    if taken:
        Bucket(location, _TIMEOUT_S).delete(_INTRUSION)
    return taken


def _reader_writes(plan: Plan, site: str) -> bool:
    try:
        Bucket.readable(plan, site, _TIMEOUT_S).put(_INTRUSION, b"")
    except Permanent as error:
        return _refused(error)
    Bucket.owned(plan, site).delete(_INTRUSION)
    return True


def _lets_in(answer: httpx.Response, neither: str) -> bool:
    if answer.status_code in _DENIED:
        return False
    if answer.is_success:
        return True
    raise Transient(neither, str(answer.status_code))


def _refused(error: Permanent) -> bool:
    """False, as nobody was let in; where the store says anything but that, nobody can tell."""
    if error.detail.startswith("access denied"):
        return False
    raise Transient("the store neither takes nor refuses a key", str(error)) from error
