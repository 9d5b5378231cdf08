"""Sealing contents to the recovery recipients, in the age format: `age -d -i KEY FILE` opens it.

Nothing is held whole: a stream passes in pieces of 64 KiB, each authenticated on its own, so what was opened
is to be trusted only when the end was reached.
Source: age format, C2SP age.md; pyrage (the rage library).
"""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pyrage
from pyrage import x25519

from tasks.errors import Permanent
from tasks.plan.plan import Plan
from tasks.plan.references import read_secret

_PIECE = 1024 * 1024
Content = bytes | Path | Iterable[bytes]


class Writer(Protocol):
    """Where a stream goes to."""

    def write(self, data: bytes, /) -> Any:
        """Take all of the data."""


def seal(plan: Plan, content: Content, into: Writer) -> None:
    """Seal a content to the plan's recovery recipients.

    Args:
        plan: its `protection.secrets.recipients` name who can open it.
        content: bytes, a file, or the pieces of a stream.
        into: takes the sealed bytes as they come.

    Raises:
        Permanent: the recipients are missing or malformed.
        Exception: whatever the content or the writer raised.
    """
    source, target = _Source(pieces(content)), _Target(into)
    try:
        pyrage.encrypt_io(source, target, recipients(plan))
    except (pyrage.EncryptError, OSError) as error:
        _reraise(source, target)
        raise Permanent("a content cannot be sealed", str(error)) from None
    _reraise(source, target)


def seal_bytes(plan: Plan, content: bytes) -> bytes:
    """Seal what is small.

    Raises:
        Permanent: see `seal`.
    """
    into = io.BytesIO()
    seal(plan, content, into)
    return into.getvalue()


def open_sealed(plan: Plan, sealed: Content, into: Writer) -> None:
    """Open a sealed content with the escrowed recovery key, which is read here only.

    Args:
        plan: its `protection.secrets.recovery_key` is the identity.
        sealed: bytes, a file, or the pieces of a stream.
        into: takes the content as it comes; whole when this returns, to be dropped when it raises.

    Raises:
        Permanent: the key is missing or malformed, opens nothing of this, or the content is damaged.
        Exception: whatever the stream or the writer raised.
    """
    source, target = _Source(pieces(sealed)), _Target(into)
    identity = recovery_key(plan)
    try:
        pyrage.decrypt_io(source, target, [identity])
    except (pyrage.DecryptError, OSError) as error:
        _reraise(source, target)
        hint = "a wrong recovery key, or bytes that are not what was sealed"
        raise Permanent("a sealed content cannot be opened", str(error)[:200], hint) from None
    _reraise(source, target)


def open_bytes(plan: Plan, sealed: Content) -> bytes:
    """Open what is small.

    Raises:
        Permanent: see `open_sealed`.
    """
    into = io.BytesIO()
    open_sealed(plan, sealed, into)
    return into.getvalue()


def recipients(plan: Plan) -> list[x25519.Recipient]:
    """Who can open what is sealed: age public keys, one a line; `#` begins a comment.

    Raises:
        Permanent: there is none, or one is malformed.
    """
    reference = plan.protection.secrets.recipients
    lines = _lines(read_secret(plan.folder, reference))
    try:
        found = [x25519.Recipient.from_str(line) for line in lines]
    except pyrage.RecipientError:
        found = []
    if not found:
        hint = "age public keys (age1...), one a line"
        raise Permanent(f"{reference} names no recipient that age knows", hint=hint)
    return found


def recovery_key(plan: Plan) -> x25519.Identity:
    """The escrowed identity; as `age-keygen` writes it.

    Raises:
        Permanent: it is missing or malformed; its text is not repeated.
    """
    reference = plan.protection.secrets.recovery_key
    lines = _lines(read_secret(plan.folder, reference))
    try:
        [identity] = [x25519.Identity.from_str(line) for line in lines]
    except (pyrage.IdentityError, ValueError):
        hint = "one line AGE-SECRET-KEY-..., as age-keygen writes it"
        raise Permanent(f"{reference} is not an age identity", hint=hint) from None
    return identity


def pieces(content: Content) -> Iterator[bytes]:
    """A content as pieces of a stream."""
    if isinstance(content, bytes):
        yield content
    elif isinstance(content, Path):
        with content.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece
    else:
        yield from content


def _lines(text: str) -> list[str]:
    stripped = (line.strip() for line in text.splitlines())
    return [line for line in stripped if line and not line.startswith("#")]


class _Source:
    """Pieces as what pyrage reads; it wraps what they raise, so that is kept."""

    def __init__(self, given: Iterator[bytes]) -> None:
        self._given = given
        self._rest = memoryview(b"")
        self.error: BaseException | None = None

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end."""
        try:
            while not self._rest:
                self._rest = memoryview(next(self._given))
        except StopIteration:
            return b""
        except BaseException as error:
            self.error = error
            raise
        piece, self._rest = self._rest[:size], self._rest[size:]
        return bytes(piece)


class _Target:
    """A writer as what pyrage writes to; what it raises is kept."""

    def __init__(self, into: Writer) -> None:
        self._into = into
        self.error: BaseException | None = None

    def write(self, data: bytes) -> int:
        """Pass all of the data on."""
        try:
            self._into.write(data)
        except BaseException as error:
            self.error = error
            raise
        return len(data)

    def flush(self) -> None:
        """There is nothing to flush."""


def _reraise(source: _Source, target: _Target) -> None:
    """Raise what an end raised: pyrage tells it as its own, and that of a last write not at all."""
    for end in (source, target):
        if end.error is not None:
            raise end.error
