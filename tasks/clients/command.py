"""The one subprocess door: every program the product runs is started here, with a deadline."""

import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from tasks.clients.telemetry.spans import called, told_to
from tasks.errors import DrError, Permanent, Transient

_END_S = 10.0
Tell = Callable[[str], None]


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> str:
    """Run a program to its end and return its standard output.

    Args:
        argv: the program and its arguments; no shell is involved.
        timeout: seconds until the program is killed.
        stdin: text for its standard input; the place for secrets, never argv.
        env: the whole environment; the caller's own where None.
        cwd: its working directory.

    Raises:
        Permanent: the program is missing or exited non-zero.
        Transient: it did not end within the timeout.
    """
    with _traced(argv) as passed_on:
        try:
            done = subprocess.run(
                list(argv),
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                capture_output=True,
                text=True,
                # A file may be called whatever its disk takes.
                errors="backslashreplace",
                timeout=timeout,
                env=told_to(os.environ, env, passed_on),
                cwd=cwd,
                check=False,
            )
        except FileNotFoundError as error:
            raise _missing(argv, error) from error
        except subprocess.TimeoutExpired as error:
            raise _late(argv, timeout) from error
        if done.returncode != 0:
            raise _failed(argv, done.returncode, done.stderr or done.stdout)
        return done.stdout


def follow(  # noqa: PLR0913 -- the one door
    argv: Sequence[str],
    tell: Tell,
    *,
    timeout: float,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> None:
    """Run a program to its end and tell each line of its standard output as it comes.

    Args:
        argv: the program and its arguments; no shell is involved.
        tell: called with each line, without its end, in the caller's thread.
        timeout: seconds until the program is killed.
        stdin: text for its standard input.
        env: the whole environment; the caller's own where None.
        cwd: its working directory.

    Raises:
        Permanent: the program is missing or exited non-zero; its standard error is the detail.
        Transient: it did not end within the timeout.
    """
    # Secrets come in by standard input: from memory, since a temporary file would lie on a disk.
    with (
        _traced(argv) as passed_on,
        os.fdopen(os.memfd_create("stdin"), "w+") as given,
        TemporaryFile("w+", errors="backslashreplace") as errors,
    ):
        given.write(stdin or "")
        given.seek(0)
        try:
            process = subprocess.Popen(
                list(argv), stdin=given, stdout=subprocess.PIPE, stderr=errors, text=True,
                errors="backslashreplace", env=told_to(os.environ, env, passed_on), cwd=cwd,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise _missing(argv, error) from error
        with process, _killed_after(process, timeout) as late:
            for line in process.stdout or ():
                tell(line.rstrip("\n"))
            code = process.wait()
        if late.is_set():
            raise _late(argv, timeout)
        if code:
            raise _failed(argv, code, _text(errors))


class Held(AbstractContextManager[None]):
    """A program that runs until its input ends, which it does with this process at the latest."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def __exit__(self, *_: object) -> None:
        with self._process, _killed_after(self._process, _END_S):
            if self._process.stdin:
                self._process.stdin.close()
            self._process.wait()


def hold(argv: Sequence[str], *, timeout: float) -> Held:
    """Start a program that runs until its input ends, and wait for its first line.

    Args:
        argv: the program and its arguments; no shell is involved.
        timeout: seconds until that line.

    Raises:
        Permanent: the program is missing, or ended without a line; its standard error is the detail.
        Transient: it said nothing within the timeout.
    """
    with _traced(argv) as passed_on, TemporaryFile("w+", errors="backslashreplace") as errors:
        try:
            process = subprocess.Popen(
                list(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
                env=told_to(os.environ, None, passed_on),
            )  # fmt: skip
        except FileNotFoundError as error:
            raise _missing(argv, error) from error
        with _killed_after(process, timeout) as late:
            began = process.stdout and process.stdout.readline()
        if not began:
            Held(process).__exit__()
            raise _late(argv, timeout) if late.is_set() else _failed(argv, process.returncode, _text(errors))
        return Held(process)


def _traced(argv: Sequence[str]) -> AbstractContextManager[dict[str, str]]:
    return called(Path(argv[0]).name, {"process.command_line": " ".join(argv)[:1000]})


@contextmanager
def _killed_after(process: "subprocess.Popen[str]", timeout: float) -> Iterator[threading.Event]:
    late = threading.Event()

    def kill() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(timeout, kill)
    timer.start()
    try:
        yield late
    except BaseException:
        process.kill()
        raise
    finally:
        timer.cancel()


def _text(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


def _missing(argv: Sequence[str], error: Exception) -> DrError:
    return Permanent(f"{argv[0]} is not installed", str(error), "run `make setup`")


def _late(argv: Sequence[str], timeout: float) -> DrError:
    return Transient(f"{argv[0]} did not end within {timeout:g} s", " ".join(argv))


def _failed(argv: Sequence[str], code: int, told: str) -> DrError:
    return Permanent(f"{argv[0]} failed", f"exit {code}: {told.strip()[-2000:]}", " ".join(argv))
