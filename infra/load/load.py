"""The load as a process of its own, so that a busy test does not slow it down."""

import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.load.generator import TIMEOUT
from tasks.errors import Permanent


@dataclass
class Load:
    """A running load generator; also a context manager.

    Attributes:
        url: the public endpoint.
        ledger: the file of attempts; read it with `Ledger.read`.
        rate: orders a second.
        workers: connections kept open.
    """

    url: str
    ledger: Path
    rate: float = 50
    workers: int = 8
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Start sending."""
        options = {"url": self.url, "ledger": self.ledger, "rate": self.rate, "workers": self.workers}
        argv = [f"--{name}={value}" for name, value in options.items()]
        self._process = subprocess.Popen([sys.executable, "-m", "infra.load", *argv])

    def stop(self) -> None:
        """Stop sending, and wait for the answers to what was sent.

        Raises:
            Permanent: the generator had ended by itself, or does not end.
        """
        if self._process is None:
            return
        process, self._process = self._process, None
        process.terminate()
        try:
            code = process.wait(TIMEOUT + 5)
        except subprocess.TimeoutExpired as error:
            process.kill()
            process.wait()
            raise Permanent("the load generator did not end", f"within {TIMEOUT + 5:g} s") from error
        # Told to end before it could send anything, it dies of the signal.
        if code not in (0, -signal.SIGTERM):
            raise Permanent("the load generator failed", f"exit {code}", "its standard error says why")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
