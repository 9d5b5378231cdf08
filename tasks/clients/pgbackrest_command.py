"""The pgbackrest command: on which host it runs, and which site's repository it works on.

Source: pgBackRest configuration reference, "Command Line and Environment": both outrank the files.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from tasks.clients.command import Tell
from tasks.clients.layout import Layout
from tasks.clients.remote import follow_on, run_on
from tasks.clients.repository import ROOT
from tasks.errors import Permanent, Transient
from tasks.plan.plan import Plan

Identity = Literal["owner", "reader"]
_ANSWER_S = 10.0


@dataclass(frozen=True)
class Command:
    """pgbackrest on one host, for one repository.

    Attributes:
        plan: the plan.
        site: the site of the host.
        host: the host.
        options: what names another repository than the host's own.
        secrets: the environment that opens it.
    """

    plan: Plan
    site: str
    host: str
    options: Sequence[str] = ()
    secrets: Mapping[str, str] | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        """The host's address."""
        return str(self.plan.sites[self.site].hosts[self.host].address)

    def run(self, arguments: Sequence[str], *, timeout: float) -> str:
        """Run it to its end and return its output.

        Raises:
            Transient, Permanent: see `run_on`.
        """
        return run_on(self.plan, self.address, self.argv(arguments), timeout=timeout, secrets=self.secrets)

    def follow(self, arguments: Sequence[str], tell: Tell, *, timeout: float) -> None:
        """Run it to its end and tell each line of its output.

        Raises:
            Transient, Permanent: see `follow_on`.
        """
        argv = self.argv(arguments)
        follow_on(self.plan, self.address, argv, tell, timeout=timeout, secrets=self.secrets)

    def argv(self, arguments: Sequence[str]) -> list[str]:
        """The command line; no secret is in it."""
        base = shlex.split(Layout.of(self.plan, self.site, self.host).pgbackrest)
        return [*base, *self.options, *arguments]


def own_repository(plan: Plan, site: str, host: str) -> Command:
    """The command on a host, for the repository that its configuration names: its site's."""
    return Command(plan, site, host)


def repository(
    plan: Plan, site: str, identity: Identity, *, at: tuple[str, str] | None = None, root: str = ROOT
) -> Command:
    """The command for any site's repository, on a database host that answers.

    Args:
        plan: the plan.
        site: whose repository.
        identity: the owner, who may write, or the reader.
        at: the site and host to run it on; where None, the first that answers, the site's own before
            the DR site's and the primary's.
        root: the folder of its bucket that the repository is.

    Raises:
        Transient: no database host can be reached.
        Permanent: the credentials cannot be read.
    """
    storage = plan.sites[site].storage
    owner = identity == "owner"
    url = urlsplit(storage.endpoint)
    options = (
        *([] if root == ROOT else [f"--repo1-path=/{root}"]),
        f"--repo1-s3-bucket={storage.bucket}",
        f"--repo1-s3-endpoint={url.hostname}",
        f"--repo1-storage-port={url.port or 443}",
        f"--repo1-s3-region={site}",
    )
    where = at or answering_host(plan, site)
    return Command(plan, *where, options, _environment(plan, storage.owner if owner else storage.reader))


def recovery_secrets(plan: Plan, site: str) -> dict[str, str]:
    """What a restored server's restore_command needs in its environment to read a site's WAL.

    Raises:
        Permanent: the credentials cannot be read.
    """
    return _environment(plan, plan.sites[site].storage.reader)


def answering_host(plan: Plan, site: str, but: str = "") -> tuple[str, str]:
    """The first database host that answers, by site and name; the given site's before any other.

    Args:
        plan: the plan.
        site: whose hosts come first.
        but: a host that is left in peace.

    Raises:
        Transient: none does.
    """
    failures = []
    for where in _database_hosts(plan, site):
        if where[1] == but:
            continue
        address = str(plan.sites[where[0]].hosts[where[1]].address)
        try:
            run_on(plan, address, ["true"], timeout=_ANSWER_S)
        except (Transient, Permanent) as error:
            failures.append(f"{where[1]}: {error.message}")
        else:
            return where
    raise Transient("no database host answers", "; ".join(failures))


def peer_shell(plan: Plan) -> str:
    """The ssh by which one database host reaches another: the plan's own, or the one beside its shell."""
    program = Path(shlex.split(plan.access.shell)[0])
    return str(program if program.name == "ssh" else program.with_name("ssh"))


def _environment(plan: Plan, reference: str) -> dict[str, str]:
    key = plan.credentials(reference)
    return {
        "PGBACKREST_REPO1_S3_KEY": key.access_key,
        "PGBACKREST_REPO1_S3_KEY_SECRET": key.secret_key,
        "PGBACKREST_REPO1_CIPHER_PASS": plan.secret("repository_cipher"),
    }


def _database_hosts(plan: Plan, site: str) -> Iterator[tuple[str, str]]:
    """Every database host; the last ones of a site first, since the first is its leader in quiet times."""
    order = dict.fromkeys((site, plan.site_of("dr"), plan.site_of("primary")))
    for name in order:
        yield from ((name, host) for host in reversed(plan.sites[name].running("postgres")))
