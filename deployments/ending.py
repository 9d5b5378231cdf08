"""How every program of ours ends: an error becomes its own lines and an exit code."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.errors import DrError, Refused


@contextmanager
def told_by(program: str) -> Iterator[None]:
    """End the process where a block fails: exit code 2 where it refused, else 1; anything else passes.

    Args:
        program: who says it, at the beginning of the first line.
    """
    try:
        yield
    except DrError as error:
        print(f"{program}: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, Refused) else 1)
