"""The plan's own checks of rows, made in a server that is opened in private."""

from tasks.clients.private import PrivateServer
from tasks.clients.probes import Words, filled
from tasks.errors import Permanent
from tasks.plan.validation import SqlProbe


def require_holds(server: PrivateServer, name: str, check: SqlProbe, words: Words) -> None:
    """Ask once, read-only, in the service's database.

    Raises:
        Permanent: it does not hold.
        Transient: the host cannot be reached.
    """
    text, expected = filled(check.query, words), filled(check.expect, words)
    read_only = f"set default_transaction_read_only = on;\n{text};"
    rows = server.psql.query(read_only, database=server.plan.service.database)
    if expected is None and rows:
        raise Permanent(f"{name} does not hold", f"{len(rows)} rows, such as {rows[0]}")
    if expected is not None and rows != [expected]:
        raise Permanent(f"{name} does not hold", f"{rows[:1]}, not {expected!r}")
