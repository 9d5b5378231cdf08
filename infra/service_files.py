"""What each service of a host is told: addresses and files of passwords, as JSON."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.clients.layout import REDIS_MASTER
from tasks.plan.plan import Plan
from tasks.plan.sites import Site


def service_config(plan: Plan, context: Mapping[str, Any]) -> str:
    """The plan's own service: where its database and its Redis are, and its flags' defaults."""
    site: Site = context["site"]
    root = Path(context["root"])
    config = {
        "listen": str(context["host"].address),
        "port": 8000,
        "site": context["site_name"],
        "database": {
            "host": site.addresses("pgbouncer")[0],
            "port": 6432,
            "dbname": plan.service.database,
            "user": "naas_service",
            "password_file": str(root / "etc/service/database_password"),
        },
        "redis": {
            "sentinels": site.addresses("sentinel"),
            "sentinel_port": 26379,
            "master_name": REDIS_MASTER,
            "nodes": site.addresses("redis") if plan.redis_ha.mode == "cluster" else [],
            "password_file": str(root / "etc/service/redis_password"),
        },
        "flags": plan.continuity.defaults,
    }
    return json.dumps(config, indent=2) + "\n"


def further_config(plan: Plan, context: Mapping[str, Any], name: str) -> str:
    """One of the further services: it needs what it depends on, as its own site's gateway serves it."""
    site, wanted = context["site"], plan.services[name]
    main = {plan.service.name: plan.high_availability.failover.health_checks[0].endpoint}
    health = main | {other: each.public_health for other, each in plan.services.items()}
    config = {
        "name": name,
        "listen": str(context["host"].address),
        "port": wanted.port,
        "site": context["site_name"],
        "health": wanted.health,
        "needs": {other: f"{site.gateway}{health[other]}" for other in wanted.depends_on},
    }
    return json.dumps(config, indent=2) + "\n"
