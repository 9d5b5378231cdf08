"""What a disaster may leave of a site that still runs: its databases or its store wiped, its data lost."""

import shutil

from infra.lab.home import Home
from infra.lab.processes import kill_all
from infra.lab.servers import servers
from infra.lab.sites import require_site
from tasks.clients.layout import Layout


def wipe_databases(home: Home, site: str) -> int:
    """Kill every PostgreSQL node of a site and remove their data directories.

    Returns:
        how many processes died.

    Raises:
        Refused: there is no such site.
    """
    plan = home.plan()
    require_site(plan, site)
    killed = 0
    for server in servers(home, plan, site, "postgres"):
        data = Layout.of(plan, site, server.key.split("/")[1]).data_dir
        killed += kill_all(home.directory, data, server.key)
        shutil.rmtree(data, ignore_errors=True)
    return killed


def wipe_store(home: Home, site: str) -> int:
    """Kill a site's object store and remove everything in it.

    Returns:
        how many processes died.

    Raises:
        Refused: there is no such site.
    """
    plan = home.plan()
    require_site(plan, site)
    killed = 0
    for server in servers(home, plan, site, "storage"):
        killed += kill_all(home.directory, server.root, server.key)
        shutil.rmtree(server.root / "data")
    return killed
