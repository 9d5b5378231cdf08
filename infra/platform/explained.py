"""What an incident or a planned move explains is told once: by the incident's own page, or not at all.

Each condition lapses by itself: an incident that was told of explains for as long as the tier's RTO, a
planned move for as long as a failover within a site may take. What outlasts that is told.
"""

from infra.platform.rules import Rule, seconds, whole
from tasks.plan.plan import Plan

_INCIDENT = "time() - dr_incident_told_timestamp_seconds"
_MOVE = "time() - dr_planned_move_timestamp_seconds"
# What a lost site sets off, and the labels by which it is known to be of that site.
_FOLLOWS = {
    "RecoveryPointAtRisk": "",
    "ReplicationLagging": "",
    "WalArchiveStale": "site",
    "WalArchivingBroken": "",
    "WalNotChecked": "",
    "BackupNotRecoverable": "site",
    "ReplicationStale": "",
    "NotReady": "",
    "ExporterStale": "",
    "NotMeasured": "",
    "ErrorBudgetBurn": "",
}
# The incident's own page is the first: it is seen by a measurement, a scrape and an evaluation later.
_BEHIND = 4


def explained(plan: Plan, rule: Rule) -> Rule:
    """The same rule, silent about what is known."""
    incident = f"{_INCIDENT} < {whole(plan.tier.rto)}"
    failover = plan.high_availability.failover
    move = f"{_MOVE} < {whole(failover.detection_timeout + failover.failover_time)}"
    name = rule["alert"]
    if name == "SiteUnhealthy":
        return _one_page(plan, rule, move)
    if name in _FOLLOWS:
        return rule | {
            "expr": f"{rule['expr']} unless on ({_FOLLOWS[name]}) ({incident}) unless on () ({move})"
        }
    return rule


def _one_page(plan: Plan, rule: Rule, move: str) -> Rule:
    """A lost site: where PagerDuty escalates the incident's page, ours is for what nobody has told it of."""
    expr = f"{rule['expr']} unless on () ({move})"
    if not plan.pagerduty_escalates:
        return rule | {"expr": expr}
    told = f'{_INCIDENT}{{channel="pagerduty"}} < {whole(plan.tier.rto)}'
    behind = _BEHIND * plan.monitoring.metrics.prometheus.scrape_interval
    lasting = plan.high_availability.failover.detection_timeout + behind
    return rule | {"expr": f"{expr} unless on (site) ({told})", "for": seconds(lasting)}
