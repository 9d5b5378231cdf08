"""What is protected: files that lie on a host of the primary site, exceptions that mean something."""

from collections.abc import Iterator, Mapping

from tasks.plan.mistakes import Mistake
from tasks.plan.protection import FileAsset, Protection
from tasks.plan.sites import Site
from tasks.plan.values import in_words

Sites = Mapping[str, Site]


def sources(protection: Protection, sites: Sites) -> Iterator[Mistake]:
    """Each site that can take over runs the program whose files are protected."""
    for path, asset in _file_assets(protection):
        for name, site in sites.items():
            if site.role == "primary" and not site.running(asset.program):
                yield Mistake(
                    f"{path}.program", f"no host of {name} runs {asset.program}", "one that runs there"
                )


def reserved(protection: Protection) -> Iterator[Mistake]:
    """Names that the product gives itself."""
    if "servers" in protection.configuration.repositories:
        path = "protection.configuration.repositories.servers"
        yield Mistake(path, "the captured configuration of the servers has this name", "another name")
    for name in {"plan", "manager"} & protection.secrets.files.keys():
        yield Mistake(f"protection.secrets.files.{name}", "a name of its own kind", "another name")


def exceptions(protection: Protection) -> Iterator[Mistake]:
    """An exception is for what is not backed up, once."""
    seen: set[str] = set()
    for index, exception in enumerate(protection.exceptions):
        path = f"protection.exceptions.{index}.asset"
        if exception.asset in seen:
            yield Mistake(path, f"{exception.asset} is named before", "each asset once")
        seen.add(exception.asset)
        if exception.asset in protection.assets():
            yield Mistake(path, f"{exception.asset} is backed up", "an asset that is not")


def kept_until_next(protection: Protection) -> Iterator[Mistake]:
    """A point is kept until the next one is there."""
    for name in ("redis", "secrets", "archive"):
        backup = getattr(protection, name)
        interval = backup.schedule.interval
        if interval and backup.retention < interval:
            allowed = f"{in_words(interval)} at least, the time between two"
            yield Mistake(f"protection.{name}.retention", "gone before the next backup", allowed)


def _file_assets(protection: Protection) -> Iterator[tuple[str, FileAsset]]:
    for name, asset in protection.files.items():
        yield f"protection.files.{name}", asset
    for name, asset in protection.secrets.files.items():
        yield f"protection.secrets.files.{name}", asset


CHECKS = (sources, reserved, exceptions, kept_until_next)
