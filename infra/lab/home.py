"""The lab's home: one directory that holds everything the lab is."""

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from infra.edge.addresses import HTTPS_PORT, SMTP_PORT, our_channels, our_public_channels
from infra.lab.network.addresses import namespace_address, namespace_document
from infra.lab.network.base import Network
from infra.lab.network.loopback import Loopback
from infra.lab.network.namespaces import Namespaces
from infra.lab.storage import storage_ports
from tasks.errors import Refused, Transient
from tasks.plan.load import load_plan
from tasks.plan.plan import Plan

_KIND = "network.kind"
DEFAULT_PLAN = Path(__file__).parents[2] / "deployments" / "plan.yaml"


def default_directory() -> Path:
    """DR_LAB where set; else a system directory for root, the user's state directory for others."""
    if "DR_LAB" in os.environ:
        return Path(os.environ["DR_LAB"])
    if os.geteuid() == 0:
        return Path("/var/lib/naas-dr-lab")
    return Path.home() / ".local/state/naas-dr-lab"


@dataclass(frozen=True)
class Home:
    """Paths of one lab."""

    directory: Path

    @property
    def plan_file(self) -> Path:
        """The plan the lab runs, with its own roots and shell."""
        return self.directory / "plan.yaml"

    @property
    def exists(self) -> bool:
        """Whether a lab was begun here."""
        return self.plan_file.exists()

    def plan(self) -> Plan:
        """The plan the lab runs.

        Raises:
            Refused: there is no lab here.
        """
        if not self.exists:
            raise Refused("there is no lab", str(self.directory), "start it with `dr lab up`")
        return load_plan(self.plan_file)

    def root(self, site: str, host: str) -> Path:
        """The directory that a host takes for its `/`."""
        return self.directory / "sites" / site / host

    @property
    def ledger(self) -> Path:
        """Where the load writes down what was acknowledged."""
        return self.directory / "ledger.jsonl"

    @property
    def edge(self) -> Path:
        """The directory of what belongs to no site: the public endpoint and the third parties."""
        return self.directory / "edge"

    @property
    def inbox(self) -> Path:
        """What the third parties were told, a JSON object a line."""
        return self.edge / "inbox.jsonl"

    def unreachable(self, site: str) -> Path:
        """The mark of a site that is broken or cut; the lab's remote shell honours it."""
        return self.directory / "unreachable" / site

    def broken(self, site: str) -> bool:
        """Whether the site was broken and not healed since."""
        mark = self.unreachable(site)
        return mark.exists() and mark.read_text() == "broken"

    @property
    def kind(self) -> str:
        """The kind of network the lab was started with."""
        return (self.directory / _KIND).read_text()

    def begin(self, kind: str, plan: str) -> None:
        """Write what makes a directory a lab: its network's kind, then its plan."""
        write_whole(self.directory / _KIND, kind)
        write_whole(self.plan_file, plan)

    def require_own(self) -> None:
        """Refuse a directory that holds something else: it would be removed with the lab.

        Raises:
            Refused: it does.
        """
        if self.directory.is_dir() and not (self.directory / _KIND).exists():
            foreign = [path.name for path in self.directory.iterdir() if not path.name.startswith(_KIND)]
            if foreign:
                detail = f"{self.directory} holds {', '.join(sorted(foreign)[:3])}"
                raise Refused("the directory is not a lab's", detail, "name one that is empty or not there")

    def remove(self) -> None:
        """Remove the directory; what tells that it is a lab's goes last, should this be killed."""
        for path in self.directory.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != _KIND:
                path.unlink()
        (self.directory / _KIND).unlink(missing_ok=True)
        self.directory.rmdir()

    def network(self) -> Network:
        """The network the lab was started with."""
        return Loopback() if self.kind == "loopback" else self.namespaces()

    def namespaces(self) -> Namespaces:
        """The network namespaces of this lab, whether made or not."""
        return Namespaces.beside(self.directory / "network")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lab: one `dr lab` command changes it at a time.

        Raises:
            Transient: another command holds it.
        """
        # The servers' account must reach what is made, whatever the caller's umask.
        umask = os.umask(0o022)
        self.directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.directory, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise Transient("another command is changing the lab", hint="wait for it to end") from error
        finally:
            os.close(handle)
            os.umask(umask)


def lab_plan(home: Home, source: Path, kind: str) -> str:
    """The lab's plan as YAML: the given one, with the lab's directories, remote shell and third parties.

    Raises:
        PlanRefused: the plan has mistakes.
        Refused: the plan cannot be read, has no HAProxy, or its addresses cannot be moved to namespaces.
    """
    plan = load_plan(source)
    proxy = plan.service.endpoint.proxy.address
    endpoint = str(proxy if kind == "loopback" else namespace_address(proxy))
    document: dict[str, Any] = yaml.safe_load(source.read_text(encoding="utf-8"))
    if kind == "namespaces":
        document = namespace_document(document, plan)
    command, host = f"{home.directory}/bin/site", f"{home.directory} {{site}} {{host}}"
    document["access"] |= {
        "shell": f"{home.directory}/bin/on {{address}}",
        "root": f"{home.directory}/sites/{{site}}/{{host}}",
        "start_database": f"{command} start {host}",
        "stop_database": f"{command} stop {host}",
        "start_service": f"{command} start-service {host} {{service}}",
        "stop_service": f"{command} stop-service {host} {{service}}",
        # On loopback every client appears as 127.0.0.1, among namespaces the world as the endpoint.
        "operators": ["127.0.0.1" if kind == "loopback" else endpoint],
    }
    document["notifications"] = our_channels(document["notifications"], endpoint)
    if crisis := document.get("crisis_communication"):
        crisis["channels"] = our_public_channels(crisis.get("channels", {}), endpoint)
    # The lab's stores have more than S3 to listen with.
    security = document.setdefault("validation", {}).setdefault("security", {})
    security["listeners"] = security.get("listeners", {}) | _store_listeners(plan)
    # The third parties' edge stands beside the public endpoint.
    security["administration"] = [*plan.validation.security.administration, HTTPS_PORT, SMTP_PORT]
    document["recovery"]["infrastructure"] = {
        "command": f"{home.directory}/bin/activate {home.directory} {{site}}",
        "timeout": "2 minutes",
    }
    document.setdefault("drills", {})["apart"] = {
        "start": f"{home.directory}/bin/apart {home.directory} {{site}}"
    }
    document["recovery"]["ledger"] = {
        "file": home.ledger.name,
        "query": "select id::text as id from orders where id = any(%s::uuid[])",
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def _store_listeners(plan: Plan) -> dict[str, list[int]]:
    return {
        name: sorted(storage_ports(site.storage.endpoint).values())
        for site in plan.sites.values()
        for name in site.running("storage")
    }


def write_whole(path: Path, text: str) -> None:
    """Write a file so that nobody, whenever killed, leaves half of it."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.rename(path)


def program(name: str) -> str:
    """The path of a program that came with the Python environment."""
    return str(Path(sys.executable).parent / name)
