"""What a vantage makes of what it sees: one look, then a verdict that needs several. Pure.

The verdict is the mildest of the last `retries` looks: one slow answer, or one lost packet, changes nothing.
That a site does not answer says little: the vantage may be cut off, or the site. A dead site differs from one
that is only not seen by what others see: its leader key in etcd is renewed, another vantage sees it, or the
public endpoint is served by it. Unknown is unknown: never healthy, and by itself no disaster.

Source: the seed's "Automatic Failover Configuration".
"""

from dataclasses import replace

from tasks.facts.watch import Level, Look, Moment, Peers, Rule, Sight, Sights, Standing, Told, Verdict
from tasks.plan.plan import Plan
from tasks.policy.watch_agreement import someone_sees

GATEWAY = "service through the gateway"
PUBLIC = "service through the public endpoint"
DATABASE = "database"
REDIS = "Redis"
LAG = "replication"
ETCD = "etcd"
STORAGE = "storage"

_SEEN: tuple[Level, ...] = ("healthy", "degraded", "zone_failure")
_ITS_OWN = (GATEWAY, DATABASE, REDIS)
_SERVING = (*_ITS_OWN, PUBLIC)


def rule_of(plan: Plan) -> Rule:
    """What the plan asks of its vantages.

    A leader renews its key every loop_wait, and gives up after two tries of retry_timeout more.
    Source: Patroni manual, "Dynamic configuration settings".
    """
    failover = plan.high_availability.failover
    check, (_, loop_wait, retry_timeout) = failover.quickest, plan.patroni_timings
    return Rule(
        interval=check.interval.total_seconds(),
        pace=check.pace.total_seconds(),
        timeout=check.timeout.total_seconds(),
        retries=check.retries,
        absorb=failover.failover_time.total_seconds(),
        confirm=plan.recovery.watch.confirm.total_seconds(),
        renewal=loop_wait + 2 * retry_timeout,
        automatic=failover.automatic,
    )


def sight(look: Look) -> Sight:
    """Judge one look by itself."""
    return Sight(look.at_s, _level(look))


def _level(look: Look) -> Level:
    here = [host.answers for host in look.hosts if host.site == look.site]
    if any(here):
        if dead_zones(look):
            return "zone_failure"
        well = all(here) and all(probe.outcome == "good" for probe in look.checks)
        return "healthy" if well else "degraded"
    if _good(look, PUBLIC):
        return "served"
    elsewhere = [host.answers for host in look.hosts if host.site not in {look.site, look.vantage}]
    return "lost" if any(elsewhere) else "blind"


def dead_zones(look: Look) -> list[str]:
    """The zones of the site of which no host answers; none where the whole site is silent."""
    zones: dict[str, bool] = {}
    for host in look.hosts:
        if host.site == look.site:
            zones[host.zone] = zones.get(host.zone, False) or host.answers
    return [zone for zone, answers in zones.items() if not answers] if any(zones.values()) else []


def serves(look: Look) -> bool:
    """Whether the site does what it is for, whatever of it is gone."""
    return all(_good(look, what) for what in _SERVING)


def well(plan: Plan, look: Look) -> dict[str, bool]:
    """Of each site, whether each of its programs has a host that answers; the active one must serve too.

    Nobody can tell of the other sites where the vantage sees none of them.
    """
    told = (look.vantage,) if _level(look) == "blind" else tuple(plan.sites)
    found = {site: _runs(plan, look, site) for site in told}
    if look.site in found:
        found[look.site] = found[look.site] and all(_good(look, what) for what in _ITS_OWN)
    return found


def _runs(plan: Plan, look: Look, site: str) -> bool:
    seen = {host.host: host.answers for host in look.hosts if host.site == site}
    programs = {program for host in plan.sites[site].hosts.values() for program in host.runs}
    able = [[seen[host] for host in plan.sites[site].running(each) if host in seen] for each in programs]
    return all(any(answers) for answers in able if answers)


def saw(sights: Sights, look: Look, rule: Rule) -> Sights:
    """Remember a look; looks at another site are forgotten."""
    before = sights.recent if sights.site == look.site else ()
    return Sights(look.site, (*before, sight(look))[-rule.retries :], look)


def is_settled(sights: Sights) -> bool:
    """Whether the last looks are alike, and the site is seen."""
    levels = {each.level for each in sights.recent}
    return len(levels) == 1 and levels <= set(_SEEN)


def next_look(sights: Sights, rule: Rule, now_s: float) -> float:
    """When the next look begins: sooner while something changes, and never before the last one is over."""
    if not sights.recent:
        return now_s
    wait = rule.interval if is_settled(sights) else rule.pace
    return max(now_s, sights.recent[-1].at_s + wait)


def verdict_on(sights: Sights, told: Told, peers: Peers, rule: Rule, now_s: float) -> Verdict:
    """What the last looks say, with what etcd and the other vantages say of a site that is not seen."""
    levels = [each.level for each in sights.recent]
    seen = [level for level in levels if level in _SEEN]
    if not levels or now_s - sights.recent[-1].at_s > rule.patience:
        return "unknown"  # nobody looks any more
    if "healthy" in seen:
        return "healthy"
    if seen:
        return "degraded" if "degraded" in seen else "zone_failure"
    if len(levels) < rule.retries or "blind" in levels:
        return "unknown"
    if "served" in levels or told.lease == "renewed" or someone_sees(sights.site, peers, rule, now_s):
        return "partition"
    return "site_failure" if told.lease == "ended" else "unknown"


def stand(  # noqa: PLR0913 -- all that it is judged by
    before: Standing, sights: Sights, told: Told, peers: Peers, rule: Rule, now: Moment
) -> Standing:
    """Judge anew; what is agreed on with the others is another matter."""
    verdict = verdict_on(sights, told, peers, rule, now.s)
    after = before
    if (before.site, before.verdict, before.since is None) != (sights.site, verdict, False):
        after = Standing(sights.site, verdict, now.day, now.s, agreement=before.agreement)
    absorbing = verdict == "zone_failure" and after.absorbed_s is None
    if absorbing and sights.newest and serves(sights.newest):
        return replace(after, absorbed_s=now.s - after.since_s)
    return after


def _good(look: Look, what: str) -> bool:
    return any(probe.what == what and probe.outcome == "good" for probe in look.checks)
