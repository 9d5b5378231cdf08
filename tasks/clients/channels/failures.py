"""What a channel's library meets, in our errors and without the channel's secrets."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.client import HTTPException

from tasks.clients.masking import hiding
from tasks.errors import DrError, Permanent, Refused, Transient

TIMEOUT_S = 2
"""Seconds for connecting, and for each wait for an answer."""
_LONGEST = 300


class Busy(Transient):
    """The channel asks to be left alone for some seconds."""

    def __init__(self, message: str, detail: str = "", hint: str = "", seconds: float = 1.0) -> None:
        super().__init__(message, detail, hint)
        self.seconds = seconds


class Undeliverable(Refused):
    """This one address is none: it says nothing of the channel, nor of anybody else."""


class Answered(Exception):
    """The channel answered, and did not take the message.

    Attributes:
        said: its words.
        passing: whether the same message may be taken later.
        wait_s: seconds for which it asks to be left alone.
    """

    def __init__(self, said: str, *, passing: bool, wait_s: float | None = None) -> None:
        super().__init__(said)
        self.said = said
        self.passing = passing
        self.wait_s = wait_s


def of_http(status: int, said: str, retry_after: str | None) -> Answered:
    """An answer over HTTP: 429, 5xx and what should have been another kind of success may pass."""
    wait = None
    if status == 429:
        wait = float(retry_after) if retry_after and retry_after.isdecimal() else 1.0
    passing = status in {408, 429} or status >= 500 or status < 300
    return Answered(f"{status} {said}".strip(), passing=passing, wait_s=wait)


@contextmanager
def told(channel: str, secrets: Iterable[str], block: str = "notifications") -> Iterator[None]:
    """Turn what a library raises into our errors; what it raised is not kept, for it may hold a secret.

    Args:
        channel: its name.
        secrets: what no error repeats.
        block: the plan's block in which the channel's settings are.

    Raises:
        Busy: the channel asks for time.
        Transient: it does not answer, or says that it failed.
        Permanent: it refuses the message.
    """
    hint = f"check {block}.{channel} and its secret"
    try:
        yield
    except DrError:
        raise
    except Answered as error:
        raise _refusal(channel, error, hiding(secrets)(error.said)[:_LONGEST], hint) from None
    except (OSError, HTTPException) as error:
        words = f"{type(error).__name__}: {error}"
        raise Transient(f"{channel} does not answer", hiding(secrets)(words)[:_LONGEST]) from None
    except Exception as error:  # noqa: BLE001 -- whatever else a library raises may show what it was given
        raise Permanent(f"{channel} cannot be told", type(error).__name__, hint) from None


def _refusal(channel: str, error: Answered, said: str, hint: str) -> DrError:
    if error.wait_s is not None:
        return Busy(f"{channel} asks for time", said, seconds=error.wait_s)
    if error.passing:
        return Transient(f"{channel} failed", said)
    return Permanent(f"{channel} refuses the message", said, hint)
