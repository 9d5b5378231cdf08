"""Fingerprints of secrets: HMAC-SHA-256, so that a change can be proven without keeping the secret.

The key of each incident lies in etcd and the fingerprints in its journal: whoever has one of the two cannot
try secrets against it.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable

from tasks.clients.truth import etcd_of
from tasks.errors import DrError, Permanent, Transient
from tasks.plan.plan import Plan


def take(plan: Plan, incident: str, names: Iterable[str]) -> dict[str, str]:
    """The fingerprints of some of the plan's secrets, by name; one that cannot be read has none.

    Raises:
        Transient: etcd has no quorum.
    """
    wanted = list(names)
    if not wanted:
        return {}
    key = _key(plan, incident)
    found = {}
    for name in wanted:
        try:
            found[name] = _fingerprint(key, plan.secret(name))
        except DrError:
            continue
    return found


def is_changed(plan: Plan, incident: str, name: str, before: str) -> bool:
    """Whether a secret is another one than that of a fingerprint.

    Raises:
        Permanent: the secret cannot be read.
        Transient: etcd has no quorum, or no longer has the key.
    """
    held = etcd_of(plan).get(_path(plan, incident)).value
    if held is None:
        raise Transient(f"the key of {incident}'s fingerprints is gone", "they can be compared with nothing")
    return not hmac.compare_digest(_fingerprint(held, plan.secret(name)), before)


def _key(plan: Plan, incident: str) -> str:
    etcd, path = etcd_of(plan), _path(plan, incident)
    etcd.swap(path, secrets.token_hex(32), 0)
    held = etcd.get(path).value
    if held is None:
        raise Permanent("etcd did not keep the key of the fingerprints", path)
    return held


def _fingerprint(key: str, secret: str) -> str:
    return hmac.new(bytes.fromhex(key), secret.encode(), hashlib.sha256).hexdigest()


def _path(plan: Plan, incident: str) -> str:
    return f"/naas-dr/{plan.service.name}/fingerprints/{incident}"
