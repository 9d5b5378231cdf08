"""The service's feature flags in a site's Redis, as the recovery and people see and set them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import redis
from redis.cluster import RedisCluster

from tasks.clients import redis_site
from tasks.clients.flag_settings import KEY, FlagSetting, parsed
from tasks.clients.listeners import listening
from tasks.errors import Transient
from tasks.plan.plan import Plan


def read(plan: Plan, site: str) -> dict[str, FlagSetting]:
    """What is set, by flag in order; what is no setting counts as not set, as it does for the service.

    Raises:
        Transient: no Redis of the site answers, or it has no flags.
    """
    with _opened(plan, site) as server:
        kept: dict[Any, Any] = server.hgetall(KEY)
    # A cluster's client gives bytes.
    found = {name.decode() if isinstance(name, bytes) else name: parsed(text) for name, text in kept.items()}
    # Redis gives a hash in no order of its own.
    return {name: setting for name, setting in sorted(found.items()) if setting}


def write(plan: Plan, site: str, settings: Mapping[str, FlagSetting | None]) -> None:
    """Set flags, or with None give them their defaults back: all of them or none.

    Raises:
        Transient: no Redis of the site answers, or none takes writes.
    """
    if not settings:
        return
    with _opened(plan, site) as server, server.pipeline(transaction=True) as all_of_them:
        for name, setting in settings.items():
            if setting:
                all_of_them.hset(KEY, name, setting.model_dump_json())
            else:
                all_of_them.hdel(KEY, name)
        all_of_them.execute()


@contextmanager
def _opened(plan: Plan, site: str) -> Iterator["redis.Redis | RedisCluster"]:
    # A dead server is tried for seconds by redis-py, and a lost site has nothing but dead ones.
    if not any(listening(address, [6379]) for address in plan.sites[site].addresses("redis")):
        raise Transient(f"no Redis of {site} answers")
    try:
        with redis_site.opened(plan, site) as server:
            yield server
    except redis.RedisError as error:
        raise Transient(f"Redis of {site} takes no flags", str(error)) from error
