"""What a restored moment and the live database say of each other, and what was brought back, as facts."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["same", "changed", "dropped since", "made since"]


@dataclass(frozen=True)
class TableDifference:
    """One table, by `DATABASE/SCHEMA.TABLE`.

    Attributes:
        table: its name.
        then: its rows at the moment; None where it did not exist.
        now: its rows now; None where it does not exist.
        verdict: how they differ: "changed" also where as many rows have other values.
    """

    table: str
    then: int | None
    now: int | None
    verdict: Verdict

    @property
    def database(self) -> str:
        """Its database."""
        return self.table.partition("/")[0]

    @property
    def name(self) -> str:
        """Its name within the database, quoted where it must be."""
        return self.table.partition("/")[2]


@dataclass(frozen=True)
class Rescued:
    """A table that was brought back.

    Attributes:
        table: its name, as `DATABASE/SCHEMA.TABLE`.
        rows: how many rows it had at the moment.
        where: where it is now.
        command: how to take it from there, for a person; empty where it is in the database.
    """

    table: str
    rows: int
    where: str
    command: str = ""
