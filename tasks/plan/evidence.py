"""How evidence is kept: what the seed's "Test Results Documentation" leaves open."""

from tasks.plan.base import Block
from tasks.plan.schedule import Schedule
from tasks.plan.values import Duration, SecretRef


class EvidencePolicy(Block):
    """Reports are signed, chained, and locked at the archive site.

    Attributes:
        key: the private key that signs, PEM (PKCS 8), Ed25519 unless you must have another.
        trusted: public keys (PEM) that signed before this one did.
        retention: for how long no one can delete a report.
        schedule: when new reports are sealed; no recovery waits for it.
        review: when what was achieved is held against the tier.
    """

    key: SecretRef
    trusted: tuple[SecretRef, ...] = ()
    retention: Duration
    schedule: Schedule
    review: Schedule
