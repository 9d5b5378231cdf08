"""Where a copy of the database is restored to."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """Where a copy is restored to.

    Attributes:
        from_site: whose copy of the repository.
        site: the site of the host.
        host: the database host.
        directory: the copy's directory.
    """

    from_site: str
    site: str
    host: str
    directory: Path
