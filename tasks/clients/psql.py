"""PostgreSQL through a host's own socket, as the account that owns it: no password, no network.

Source: PostgreSQL manual, "psql", "Peer Authentication".
"""

from dataclasses import dataclass

from tasks.clients.layout import Layout
from tasks.clients.remote import run_on
from tasks.plan.plan import Plan


@dataclass(frozen=True)
class Psql:
    """A server on a database host.

    Attributes:
        plan: the plan.
        site: the host's site.
        host: the host.
        port: what its socket is called by; the live server's where not given.
    """

    plan: Plan
    site: str
    host: str
    port: int = 5432

    def query(self, text: str, *, database: str, timeout: float = 3600) -> list[str]:
        """The rows of a script, columns separated by tabs.

        Raises:
            Permanent: a statement failed, or the server does not answer.
            Transient: the host cannot be reached, or the time is over.
        """
        argv = [*self.command("psql"), "-d", database, "-X", "-q", "-A", "-t", "-F", "\t"]
        address = str(self.plan.sites[self.site].hosts[self.host].address)
        given = run_on(self.plan, address, [*argv, "-v", "ON_ERROR_STOP=1"], timeout=timeout, stdin=text)
        return given.splitlines()

    def command(self, program: str) -> list[str]:
        """One of PostgreSQL's programs, connecting to this server."""
        path = f"{self.plan.access.postgres_bin}/{program}"
        return [path, "-h", str(self.socket), "-p", str(self.port), "-U", "postgres"]

    @property
    def socket(self) -> str:
        """The directory of the host's sockets."""
        return str(Layout.of(self.plan, self.site, self.host).root / "run/postgresql")
