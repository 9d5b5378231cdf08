"""What the lab's plan runs in place of a provisioner: `python -m infra.lab.activation HOME SITE`.

Exit codes: 75 where it may go well later.
"""

import sys
from pathlib import Path

from infra.lab.home import Home
from infra.lab.servers import servers
from infra.lab.site_commands import told
from infra.lab.sites import BASE, STACK, alone, prepare, require_site
from infra.lab.starting import start_missing
from tasks.clients.truth import active_site

_PROVISIONED = tuple(program for program in STACK if program not in {"postgres", "control"})


def activate_site(home: Home, site: str) -> None:
    """Bring up a site's servers but for its databases; what runs is left alone.

    Raises:
        Refused: there is no such site.
        Transient: a server or etcd did not come up in time, or another command holds the lab.
    """
    plan = home.plan()
    require_site(plan, site)
    with alone(home):
        home.unreachable(site).unlink(missing_ok=True)
        prepare(home, plan, site, plan.site_of("primary"), *BASE)
        start_missing(home.directory, servers(home, plan, site, *BASE))
        active = active_site(plan)
        prepare(home, plan, site, active, *STACK)
        start_missing(home.directory, servers(home, plan, site, *_PROVISIONED))


def main(directory: str, site: str) -> int:
    """Bring up a site's servers, but for its databases; the exit code."""
    return told(lambda: activate_site(Home(Path(directory)), site))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
