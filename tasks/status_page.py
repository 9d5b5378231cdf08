"""Publish the public status page to the stores of the sites that are left."""

from datetime import UTC, datetime
from functools import partial

from tasks.clients import status_store
from tasks.errors import DrError, Refused, Transient
from tasks.facts.status import PublicNotice, PublicStatus, Published
from tasks.plan.plan import Plan
from tasks.plan.status_page import StatusPage
from tasks.policy.status_documents import held, with_held
from tasks.policy.status_page import merged, said


def publish(
    plan: Plan, settings: StatusPage, notice: PublicNotice | None, failed_site: str | None
) -> Published:
    """Say something in public, in half a minute at most; said again, it changes nothing.

    Whatever any store knows, all of them say afterwards, whoever else publishes meanwhile.

    Args:
        plan: the plan.
        settings: what the page is called.
        notice: what is said; None to publish what is known once more, as of now.
        failed_site: the site whose store is not touched.

    Raises:
        Refused: no site that is left has a status bucket.
        Transient: no store took all of it; some may have a part, which the next publication completes.
    """
    sites = status_store.surviving(plan, failed_site)
    if not sites:
        raise Refused("there is no status bucket to publish to", hint="see sites.SITE.storage.status_bucket")
    answers = status_store.read_all(plan, sites)
    found = {site: content for site, content in answers.items() if not isinstance(content, DrError)}
    known = [status for content in found.values() if (status := held(content))]
    now_said = said(merged(known) if known else None, notice, datetime.now(UTC))
    outcomes: dict[str, DrError | None] = {
        **{site: error for site, error in answers.items() if isinstance(error, DrError)},
        **_written(plan, settings, now_said, list(found)),
    }
    missed = {site: outcome.seen for site, outcome in outcomes.items() if outcome is not None}
    taken = tuple(site for site in sites if site not in missed)
    if not taken:
        raise Transient(
            "no store takes the status page", "; ".join(f"{s}: {why}" for s, why in missed.items())
        )
    return Published(
        taken=taken,
        missed=missed,
        urls={site: status_store.url_of(plan, site) for site in sites},
        mended=tuple(s for s in taken if found[s] is not None and held(found[s]) is None),
    )


def _written(
    plan: Plan, settings: StatusPage, status: PublicStatus, sites: list[str]
) -> dict[str, DrError | None]:
    draw = partial(with_held, plan, settings, status)
    return status_store.write_all(plan, dict.fromkeys(sites, draw))
