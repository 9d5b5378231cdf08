"""Sites whose Patroni clusters have a DCS of their own: what proves that they stopped writing."""

from collections.abc import Iterator, Mapping
from shlex import split

from tasks.plan.mistakes import Mistake
from tasks.plan.sites import Site

Sites = Mapping[str, Site]


def own_dcs(sites: Sites) -> Iterator[Mistake]:
    """Where consensus proves nothing to us, Patroni's REST API must: on hosts that run postgres."""
    for name, site in sites.items():
        if site.dcs == "own" and not site.running("postgres"):
            yield Mistake(f"sites.{name}.dcs", "no host runs postgres", "'shared' where there is no Patroni")


def fence(sites: Sites) -> Iterator[Mistake]:
    """Fence commands are for sites that the plan's etcd cannot fence."""
    for name, site in sites.items():
        if site.dcs == "shared" and site.fence:
            yield Mistake(f"sites.{name}.fence", "the plan's etcd fences this site", "only with dcs 'own'")


def commands(sites: Sites) -> Iterator[Mistake]:
    """Each fence command has a name of its own and can be read as a program and its arguments."""
    for name, site in sites.items():
        seen: set[str] = set()
        for index, command in enumerate(site.fence.commands if site.fence else ()):
            path = f"sites.{name}.fence.commands.{index}"
            if command.name in seen:
                yield Mistake(f"{path}.name", f"{command.name} is named before", "each command once")
            seen.add(command.name)
            if not _is_argv(command.command):
                yield Mistake(f"{path}.command", "not a command line", "a program and its arguments")


def _is_argv(command: str) -> bool:
    try:
        return bool(split(command))
    except ValueError:
        return False


CHECKS = (own_dcs, fence, commands)
