"""The lab's own secrets: a certificate authority, a certificate a server, and random passwords."""

import datetime as dt
import ipaddress
import json
import secrets
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pyrage import x25519

from infra.edge.addresses import new_webhook, public_secrets
from tasks.clients.secret_sources import references
from tasks.plan.plan import Plan

EDGE = "edge"
"""whose certificate the third parties show"""
_LIFE = dt.timedelta(days=365)
_SUBSCRIBERS = (
    "channel,address,language,timezone",
    "email,ada@{}.example,en,Europe/London",
    "email,kenji@{}.example,,Asia/Tokyo",
    "email,lea@{}.example,de,Europe/Berlin",
    "sms,+15550101,en,America/New_York",
)


def make_secrets(plan: Plan, folder: Path) -> None:
    """Make every secret the plan refers to by file; what is there already stays."""
    for name, reference in plan.secrets:
        if name != "ca_certificate" and reference and reference.startswith("file:"):
            _write_new(folder / reference.removeprefix("file:"), Fernet.generate_key().decode())
    for site in plan.sites.values():
        for reference in (site.storage.owner, site.storage.reader):
            pair = {"access_key": secrets.token_hex(10), "secret_key": secrets.token_urlsafe(30)}
            _write_new(folder / reference.removeprefix("file:"), json.dumps(pair))
    _make_recovery_key(plan, folder)
    _make_evidence_key(plan, folder)
    _make_certificates(plan, folder)
    _make_subscribers(plan, folder)
    _make_keys_of_third_parties(plan, folder)


def certificate_paths(plan_folder: Path, site: str) -> tuple[Path, Path]:
    """The certificate and key of a site's store, or of the edge."""
    folder = plan_folder / "secrets" / site
    return folder / "server.crt", folder / "server.key"


def _make_keys_of_third_parties(plan: Plan, folder: Path) -> None:
    """Those of which the edge asks more than that there is one, then all others."""
    slack, edge = plan.notifications.slack, str(plan.service.endpoint.address)
    known = public_secrets() | ({slack.webhook: new_webhook(edge)} if slack else {})
    for reference in references(plan):
        if reference.startswith("file:"):
            text = known.get(reference) or Fernet.generate_key().decode()
            _write_new(folder / reference.removeprefix("file:"), text)


def _make_recovery_key(plan: Plan, folder: Path) -> None:
    """The key that opens sealed backups, and the recipient that they are sealed to."""
    sealed = plan.protection.secrets
    private = folder / sealed.recovery_key.removeprefix("file:")
    _write_new(private, f"{x25519.Identity.generate()}\n")
    recipient = x25519.Identity.from_str(private.read_text().strip()).to_public()
    _write_new(folder / sealed.recipients.removeprefix("file:"), f"{recipient}\n", 0o644)


def _make_evidence_key(plan: Plan, folder: Path) -> None:
    """The key that reports are signed with."""
    if plan.evidence and plan.evidence.key.startswith("file:"):
        key = folder / plan.evidence.key.removeprefix("file:")
        _write_new(key, new_signing_key())


def _make_subscribers(plan: Plan, folder: Path) -> None:
    """A few people for each audience, in several languages and time zones; example numbers and names."""
    crisis = plan.crisis_communication
    for name, audience in crisis.audiences.items() if crisis else ():
        if audience.subscribers and audience.subscribers.startswith("file:"):
            people = "".join(f"{line.format(name)}\n" for line in _SUBSCRIBERS)
            _write_new(folder / audience.subscribers.removeprefix("file:"), people)


def new_signing_key() -> str:
    """A private key (PEM) that signs evidence."""
    return _pem(ed25519.Ed25519PrivateKey.generate())


def _write_new(path: Path, text: str, mode: int = 0o600) -> None:
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.touch(mode=mode)
    partial.write_text(text)
    partial.rename(path)


def _make_certificates(plan: Plan, folder: Path) -> None:
    authority = folder / plan.secrets.ca_certificate.removeprefix("file:")
    addresses = {name: urlsplit(site.storage.endpoint).hostname or "" for name, site in plan.sites.items()}
    addresses[EDGE] = str(plan.service.endpoint.address)
    pairs = {name: certificate_paths(folder, name) for name in addresses}
    if authority.exists() and all(path.exists() for pair in pairs.values() for path in pair):
        return
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name("naas-dr lab authority")
    root = (
        _builder(subject, subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_usage(signs=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    for name, (certificate_path, key_path) in pairs.items():
        certificate, leaf_key = _leaf(addresses[name], key, root)
        for path in (certificate_path, key_path, authority):
            path.unlink(missing_ok=True)
        _write_new(certificate_path, certificate, 0o644)
        _write_new(key_path, leaf_key)
    _write_new(authority, root.public_bytes(serialization.Encoding.PEM).decode(), 0o644)


def _pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _leaf(address: str, signer: ec.EllipticCurvePrivateKey, root: x509.Certificate) -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    # pgBackRest 2.45 reads DNS names only, boto3 wants the address as one: both are given.
    names = x509.SubjectAlternativeName(
        [x509.DNSName(address), x509.IPAddress(ipaddress.ip_address(address))]
    )
    certificate = (
        _builder(_name(address), root.subject, key.public_key())
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), _pem(key)


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + _LIFE)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )
