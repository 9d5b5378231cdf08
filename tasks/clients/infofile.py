"""pgBackRest's info files, read with the repository's cipher: whose repository it is.

Source: pgBackRest source, `info/infoArchive.c` and `common/crypto/cipherBlock.c`: OpenSSL's salted format,
AES-256-CBC, the key from one round of SHA-1 (EVP_BytesToKey).
"""

import hashlib
import re

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tasks.errors import Permanent

_MAGIC, _SALT = b"Salted__", 8
_KEY, _IV = 32, 16
_SYSTEM = re.compile(r'"?db-(?:id|system-id)"?[:=](\d{10,})')
_CIPHER = re.compile(r'^cipher-pass="(.*)"$', re.MULTILINE)


def read_info(data: bytes, cipher: str) -> str:
    """The text of an info file, decrypted where it is encrypted.

    Raises:
        Permanent: it is damaged, or another cipher's.
    """
    try:
        return (_decrypted(data, cipher) if data.startswith(_MAGIC) else data).decode()
    except ValueError as error:
        hint = "damaged, or written with another cipher than secrets.repository_cipher"
        raise Permanent("an info file cannot be read", str(error), hint) from error


def identity(text: str) -> frozenset[str]:
    """What tells two repositories apart: the database systems, and a digest of the cipher of their files.

    A newer state of a repository has everything that an older one has.
    """
    ciphers = {hashlib.sha256(each.encode()).hexdigest() for each in _CIPHER.findall(text)}
    return frozenset(_SYSTEM.findall(text)) | ciphers


def cipher_of(text: str) -> str:
    """The passphrase of the files that an info file stands for; empty where they are not encrypted."""
    return next(iter(_CIPHER.findall(text)), "")


def _decrypted(data: bytes, cipher: str) -> bytes:
    salt = data[len(_MAGIC) : len(_MAGIC) + _SALT]
    derived, block = b"", b""
    while len(derived) < _KEY + _IV:
        block = hashlib.sha1(block + cipher.encode() + salt, usedforsecurity=False).digest()
        derived += block
    mode = modes.CBC(derived[_KEY : _KEY + _IV])
    decryptor = Cipher(algorithms.AES(derived[:_KEY]), mode).decryptor()
    padded = decryptor.update(data[len(_MAGIC) + _SALT :]) + decryptor.finalize()
    unpadder = padding.PKCS7(algorithms.AES.block_size).unpadder()
    return unpadder.update(padded) + unpadder.finalize()
