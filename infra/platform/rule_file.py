"""The rule file, and what holds for every rule in it: what nobody measures is told."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from infra.platform import rules, watch_rules
from infra.platform.explained import explained
from infra.platform.rules import Rule, rule
from tasks.plan.plan import Plan

_METRIC = re.compile(r"(?:dr|etcd)_\w+(?:\{[^}]*\})?")


def alert_rules(plan: Plan) -> dict[str, Any]:
    """The rule file: what is promised, what protects it, who watches, and what nobody measures."""
    groups: dict[str, list[Rule]] = {
        "recovery_point": [*rules.recovery_point(plan)],
        "archiving": [*rules.archiving(plan)],
        "backups": [*rules.backups(plan), *rules.copies(plan)],
        "drills": [*rules.drills(plan)],
        "readiness": [*rules.readiness(plan)],
        "health": [*rules.health(plan), *rules.certificates(plan)],
        "error_budget": [*rules.error_budget(plan)],
        "watching": [*watch_rules.vantages(plan), *watch_rules.schedules(plan)],
    }
    groups["unmeasured"] = [*unmeasured(groups)]
    groups = {name: [explained(plan, each) for each in found] for name, found in groups.items()}
    groups["telling"] = [*watch_rules.untold(plan), *watch_rules.watchdog(plan)]
    return {"groups": [{"name": name, "rules": found} for name, found in groups.items()]}


def unmeasured(groups: Mapping[str, Sequence[Rule]]) -> Iterator[Rule]:
    """Each metric that a rule rests on, where nobody exports it: unknown is not healthy."""
    severities: dict[str, str] = {}
    for each in (each for found in groups.values() for each in found):
        for metric in _METRIC.findall(each["expr"]):
            known = severities.setdefault(metric, each["labels"]["severity"])
            severities[metric] = min(known, each["labels"]["severity"])  # "critical" sorts before "warning"
    for metric, severity in severities.items():
        expr, summary = f"absent({metric})", f"Nobody measures {metric}"
        yield rule("NotMeasured", expr, severity, summary, timedelta(minutes=5), metric=metric)
