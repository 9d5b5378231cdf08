"""Alert rules about the watching itself: channels that fail, vantages, schedules, the path of every alert."""

from collections.abc import Iterator
from datetime import timedelta

from infra.platform.rules import Rule, rule, whole
from tasks.plan.communication import ChannelName, Severity
from tasks.plan.plan import Plan

UNTOLD = "Untold"
WATCHDOG = "Watchdog"
_LATE = timedelta(minutes=10)
_UNSEEN = timedelta(minutes=1)


def untold(plan: Plan) -> Iterator[Rule]:
    """Each firing alert whose channel fails, once more: it is led to the channels that stand in."""
    for channel, severity in plan.alerting.stood_in_for():
        summary = f"{{{{ $labels.untold }}}} {{{{ $labels.site }}}}: {channel} does not take it"
        labels = {"channel": channel}
        yield rule(UNTOLD, _untaken(channel, severity), severity, summary, timedelta(0), **labels)


def _untaken(channel: ChannelName, severity: Severity) -> str:
    firing = f'ALERTS{{alertstate="firing",severity="{severity}",alertname!="{UNTOLD}"}}'
    named = f'label_replace({firing}, "untold", "$1", "alertname", "(.+)")'
    requests = f'alertmanager_notification_requests_failed_total{{integration="{channel}"}}'
    # Not the label that asks for a recovery either: the alert itself has done so.
    return f"max without (alertstate, disaster) ({named}) and on () (sum(increase({requests}[5m])) > 0)"


def vantages(plan: Plan) -> Iterator[Rule]:
    """A vantage that does not look any more; critical where none does."""
    for site in (name for name, site in plan.sites.items() if site.addresses("watch")):
        expr = f'time() - dr_watch_last_look_timestamp_seconds{{vantage="{site}"}} > {whole(_UNSEEN)}'
        yield rule("VantageBlind", expr, "warning", f"{site} does not look any more", _UNSEEN, vantage=site)
    nobody = f"time() - max(dr_watch_last_look_timestamp_seconds) > {whole(_UNSEEN)}"
    yield rule("NobodyLooks", nobody, "critical", "No vantage looks at the active site", _UNSEEN)


def schedules(plan: Plan) -> Iterator[Rule]:
    """Runs that are due and do not begin, and a scheduler that plans none."""
    grace = 3 * plan.monitoring.metrics.prometheus.scrape_interval
    late = f"dr_schedule_late_seconds > {whole(_LATE)}"
    summary = "A scheduled run should have begun {{ $value | humanizeDuration }} ago: no worker takes it"
    yield rule("RunsLate", late, "critical", summary, grace)
    none = "Prefect plans no run: backups, copies and checks will not begin"
    yield rule("NothingScheduled", "dr_schedule_runs_ahead == 0", "critical", none, grace)


def watchdog(plan: Plan) -> Iterator[Rule]:
    """It always fires: whoever gets its heartbeat outside tells when it stops."""
    if plan.notifications.heartbeat:
        yield rule(WATCHDOG, "vector(1)", "none", "Alerts can be told", timedelta(0))
