"""The one subprocess door: every program the product runs is started here, with a deadline."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks.errors import Permanent, Transient


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
    try:
        done = subprocess.run(
            list(argv),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=dict(env) if env is not None else None,
            cwd=cwd,
            check=False,
        )
    except FileNotFoundError as error:
        raise Permanent(f"{argv[0]} is not installed", str(error), "run `make setup`") from error
    except subprocess.TimeoutExpired as error:
        raise Transient(f"{argv[0]} did not end within {timeout:g} s", " ".join(argv)) from error
    if done.returncode != 0:
        detail = f"exit {done.returncode}: {(done.stderr or done.stdout).strip()[-2000:]}"
        raise Permanent(f"{argv[0]} failed", detail, " ".join(argv))
    return done.stdout
