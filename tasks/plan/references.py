"""Secrets by reference: read when they are used, never kept."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from tasks.errors import Permanent


@dataclass(frozen=True)
class Credentials:
    """One key of an object store."""

    access_key: str
    secret_key: str = field(repr=False)


def path_of(folder: Path, reference: str) -> Path:
    """The file behind "file:PATH"; a relative path starts in the plan's folder.

    Raises:
        Permanent: the reference names no file.
    """
    kind, _, place = reference.partition(":")
    if kind != "file":
        raise Permanent(f"{reference} is not a file", hint="this secret is needed as a file: 'file:PATH'")
    return folder / place


def read_secret(folder: Path, reference: str) -> str:
    """The text behind "file:PATH" or "env:NAME", without the newline at its end.

    Raises:
        Permanent: it is missing, unreadable or empty.
    """
    kind, _, place = reference.partition(":")
    try:
        text = os.environ[place] if kind == "env" else path_of(folder, reference).read_text(encoding="utf-8")
    except (KeyError, OSError, UnicodeDecodeError) as error:
        why = type(error).__name__
        raise Permanent(
            f"the secret {reference} cannot be read", why, "put it there, readable by us"
        ) from None
    if not text.strip():
        raise Permanent(f"the secret {reference} is empty", hint="write the secret there")
    return text.rstrip("\r\n")


def read_credentials(folder: Path, reference: str) -> Credentials:
    """The credentials behind a reference: JSON of access_key and secret_key.

    Raises:
        Permanent: they are missing, or not such JSON.
    """
    text = read_secret(folder, reference)
    try:
        return Credentials(**json.loads(text))
    except (ValueError, TypeError):
        hint = 'write {"access_key": ..., "secret_key": ...}'
        raise Permanent(f"the credentials {reference} are malformed", hint=hint) from None
