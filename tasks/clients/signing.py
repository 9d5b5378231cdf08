"""Signed statements: DSSE envelopes, the format of in-toto and Sigstore, so that other tools verify them too.

securesystemslib, which The Update Framework stands on, makes and checks them.
Source: github.com/secure-systems-lab/dsse, "protocol.md".
"""

import json
import re

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import FormatError, VerificationError
from securesystemslib.signer import CryptoSigner, Key, SSlibKey  # type: ignore[attr-defined]

from tasks.errors import Permanent

_PEM = re.compile(r"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", re.DOTALL)


def signed(private_key: str, kind: str, payload: bytes) -> bytes:
    """A payload in an envelope that is signed.

    Args:
        private_key: PEM (PKCS 8) of an Ed25519, ECDSA or RSA key.
        kind: the payload's media type; it is signed too.
        payload: what is signed.

    Raises:
        Permanent: this is no such key.
    """
    envelope = Envelope(payload, kind, {})
    envelope.sign(_signer(private_key))
    return json.dumps(envelope.to_dict(), sort_keys=True).encode()


def opened(envelope: bytes, kind: str, trusted: str) -> bytes:
    """The payload of an envelope that one of the trusted keys signed.

    Args:
        envelope: as `signed` made it.
        kind: the media type that it must have.
        trusted: PEM of one public key or more, one after the other.

    Raises:
        Permanent: it is no envelope, of another kind, or none of the keys signed it.
    """
    try:
        found = Envelope.from_dict(json.loads(envelope))
        found.verify(_keys(trusted), 1)
    except (ValueError, KeyError, TypeError, AttributeError, FormatError) as error:
        raise Permanent("this is no signed envelope", f"{type(error).__name__}: {error}") from error
    except VerificationError as error:
        raise Permanent("no trusted key signed this", ", ".join(found.signatures)) from error
    if found.payload_type != kind:
        raise Permanent("this is another kind of envelope", f"{found.payload_type}, not {kind}")
    return found.payload


def public_key(private_key: str) -> str:
    """The PEM of the public key that belongs to a private one.

    Raises:
        Permanent: this is no key.
    """
    try:
        key = load_pem_private_key(private_key.encode(), password=None).public_key()
    except (ValueError, TypeError) as error:
        raise Permanent(
            "this is no private key", str(error), "give PEM (PKCS 8) without a password"
        ) from error
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _signer(private_key: str) -> CryptoSigner:
    public = public_key(private_key)
    return CryptoSigner(load_pem_private_key(private_key.encode(), password=None), _key(public))


def _keys(trusted: str) -> list[Key]:
    return [_key(pem) for pem in _PEM.findall(trusted)]


def _key(pem: str) -> SSlibKey:
    return SSlibKey.from_crypto(load_pem_public_key(pem.encode()))
