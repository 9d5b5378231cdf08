"""A lab of stores, etcd and hosts with files, without databases: what fault runs of the repositories need."""

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from infra.lab import lab, provision
from infra.lab.home import DEFAULT_PLAN, Home, lab_plan
from infra.lab.hosts import remove_sockets, write_host
from infra.lab.processes import kill_all, running
from infra.lab.servers import servers
from infra.lab.sites import prepare
from infra.lab.starting import start_missing
from tasks.clients.objects import Bucket


class Stores:
    """A running lab of stores.

    Attributes:
        home: where it lives.
        plan: what it runs.
    """

    def __init__(self, directory: Path):
        self.home = Home(directory)
        self.home.begin("loopback", lab_plan(self.home, DEFAULT_PLAN, "loopback"))
        self.plan = lab._ready(self.home, "loopback")

    def up(self):
        for site in self.plan.sites:
            prepare(self.home, self.plan, site, self.plan.site_of("primary"), "storage", "etcd")
            for host in self.plan.sites[site].running("service"):
                write_host(self.home, self.plan, site, host, self.plan.site_of("primary"), {"service"})
        self.start(*self.plan.sites)
        provision.stores(self.plan)
        provision.truth(self.plan)

    def start(self, *sites):
        """Start what does not run of these sites, and see their stores serve."""
        for site in sites:
            remove_sockets(self.plan.sites[site].storage.endpoint)
            start_missing(self.home.directory, servers(self.home, self.plan, site, "storage", "etcd"))

    def storage(self, site):
        """The process of a site's store."""
        [key] = [server.key for server in servers(self.home, self.plan, site, "storage")]
        return running(self.home.directory)[key]

    def stop(self, site):
        """Stop a site's store, and wait until it is gone."""
        process = self.storage(site)
        process.kill()
        with suppress(psutil.TimeoutExpired):
            process.wait(20)

    def serve_again(self, site, timeout=60):
        """Start a site's store and wait until an object can be written where that is granted."""
        self.start(site)
        deadline = time.monotonic() + timeout
        while True:
            try:
                list(Bucket.readable(self.plan, site).list("none"))
            except Exception:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return

    def root(self, site, host):
        return self.home.root(site, host)


@contextmanager
def stores():
    """A lab of stores; gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="dr-", dir="/tmp"))
    directory.chmod(0o755)
    os.environ["DR_LAB"] = str(directory)
    os.environ["DR_PLAN"] = str(directory / "plan.yaml")
    made = Stores(directory)
    try:
        made.up()
        yield made
    finally:
        kill_all(directory, directory)
        for site in made.plan.sites.values():
            remove_sockets(site.storage.endpoint)
        subprocess.run(["umount", "--quiet", "--recursive", str(directory)], check=False)
        shutil.rmtree(directory, ignore_errors=True)
