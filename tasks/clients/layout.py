"""Where things lie on a host, and what they are called: one place for paths and names."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tasks.plan.plan import Plan

REDIS_MASTER = "naas-redis"
SERVICE_ROLE = "naas_service"
REPLICATION_ROLE = "replicator"
SUPERUSER = "postgres"
_FETCH_S = 8


def scope_of(plan: Plan, site: str) -> str:
    """The Patroni scope of a site's PostgreSQL cluster."""
    return f"{plan.postgresql_ha.cluster_name}-{site}"


def slot_of(site: str) -> str:
    """The physical replication slot that a site's standby cluster streams from."""
    return site.replace("-", "_").replace(".", "_")


def service_file(service: str) -> str:
    """The configuration of one of the further services, below a host's root."""
    return f"etc/services/{service}.json"


def sentinel_user_of(site: str) -> str:
    """The Redis user of a site's Sentinels; only that site's Redis servers know it."""
    return f"sentinel-{site}"


@dataclass(frozen=True)
class Layout:
    """The paths of one host."""

    root: Path
    cluster: str

    @classmethod
    def of(cls, plan: Plan, site: str, host: str) -> Self:
        """The layout of a host of the plan."""
        address = plan.sites[site].hosts[host].address
        root = plan.access.root.format(site=site, host=host, address=address)
        return cls(Path(root), plan.postgresql_ha.cluster_name)

    @property
    def data_dir(self) -> Path:
        """PostgreSQL's data directory."""
        return self.root / "var/lib/postgresql" / self.cluster

    @property
    def pgbackrest(self) -> str:
        """The pgbackrest command with this host's configuration and stanza."""
        return f"pgbackrest --config-path={self.root / 'etc/pgbackrest'} --stanza={self.cluster}"

    @property
    def restore_command(self) -> str:
        """How a node that runs fetches archived WAL; not how a backup is restored.

        A promotion waits for a fetch under way and for some more: a store that hangs must not hold it up.
        What is not fetched in time is streamed, or fetched by the next attempt.
        """
        # pgBackRest's own io-timeout counts for each of some ten attempts.
        return f'timeout -k 2 {_FETCH_S} {self.pgbackrest} archive-get %f "%p"'
