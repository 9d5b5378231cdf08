"""Seal reports: sign each state of each one, chain it to the one before, and lock it at the archive site."""

from collections.abc import Sequence
from datetime import UTC, datetime

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from tasks.clients import signing
from tasks.clients.chain import Chain, digest_of
from tasks.clients.drill_ground import PREFIX
from tasks.errors import Permanent, Transient
from tasks.evidence import sealable
from tasks.facts.drill import DrillReport
from tasks.facts.report import Report
from tasks.facts.sealed import Head, Link, Seal
from tasks.plan.plan import Plan
from tasks.plan.references import read_secret
from tasks.policy.drill_page import drill_page
from tasks.policy.page import page
from tasks.policy.picture import Past
from tasks.policy.sealed import link_words, newest, silence_words
from tasks.policy.tables import table
from tasks.retry import retried
from tasks.sealed import (
    SEAL,
    Evidence,
    heads_of,
    policy_of,
    read_links,
    trusted_keys,
    verify_evidence,
)


@retried("seal the reports", times=4, delay=exponential_backoff(backoff_factor=2))
def seal_reports(plan: Plan) -> list[Seal]:
    """Seal what the journal has and the chain has not; the seals that were added.

    Raises:
        Transient: a store does not answer, or another run added a link meanwhile.
        Permanent: the archive's store refuses, or the end of the chain is not ours: look at it first.
        Refused: the plan seals nothing.
    """
    chain, trusted = Chain(plan), trusted_keys(plan)
    links = read_links(chain, trusted)
    _require_end(chain, links)
    sealed, added, past = newest(links), list[Seal](), list[Past]()
    for subject, text in sealable(plan):
        report = _read(subject, text)
        if subject not in sealed or digest_of(text.encode()) not in sealed[subject].files.values():
            files = {"report.json": text.encode(), "report.html": _paged(report, past).encode()}
            seal, link = _added(plan, chain, links[-1] if links else None, (subject, report.verdict), files)
            added.append(seal)
            links.append(link)
        past.append(Past.of_drill(report) if isinstance(report, DrillReport) else Past.of(report))
    return added


@task(name="look at the sealed evidence", cache_policy=NO_CACHE)
def check_evidence(plan: Plan) -> Evidence:
    """Verify the chain and show it.

    Raises:
        Transient: a store does not answer.
        Permanent: something is wrong with it; what, is the detail.
    """
    found = verify_evidence(plan)
    rows = [(str(each.number), *link_words(each)) for each in found.links]
    create_markdown_artifact(
        key="evidence",
        markdown="\n\n".join(
            [
                *(f"**{flaw}**" for flaw in found.flaws),
                *silence_words(found.silent),
                table(("link", "report", "verdict", "sealed (UTC)", "kept until"), rows),
            ]
        ),
        description=f"{len(found.links)} links, {len(found.flaws)} flaws",
    )
    if found.flaws:
        raise Permanent("the evidence is not whole", "\n".join(found.flaws))
    return found


def _require_end(chain: Chain, links: list[Link]) -> None:
    """Add nothing behind an end that is not the one that the sites witnessed: that would hide it."""
    last = links[-1] if links else None
    if last and last.seal is None:
        raise Permanent(f"link {last.number} is not ours", last.flaw, "`dr report verify`")
    for site, head in heads_of(chain.witnessed()).items():
        if head.number > (last.number if last else 0):
            raise Permanent(
                f"the end of the chain is gone: {site} saw link {head.number}", hint="`dr report verify`"
            )
    if last and last.seal:  # of a run that was killed in between
        if last.locked_until is None or last.locked_until < last.seal.kept_until:
            chain.lock(last.number, last.seal.kept_until)
        chain.witness(Head(number=last.number, digest=last.digest).model_dump_json())


def _read(subject: str, text: str) -> Report | DrillReport:
    kind = DrillReport if subject.startswith(PREFIX) else Report
    return kind.model_validate_json(text)


def _paged(report: Report | DrillReport, past: Sequence[Past]) -> str:
    return drill_page(report, past) if isinstance(report, DrillReport) else page(report, past)


def _added(
    plan: Plan, chain: Chain, last: Link | None, told: tuple[str, str], files: dict[str, bytes]
) -> tuple[Seal, Link]:
    policy, now = policy_of(plan), datetime.now(UTC)
    until = (now + policy.retention).replace(microsecond=0)
    seal = Seal(
        number=last.number + 1 if last else 1,
        subject=told[0],
        files={name: chain.keep(data, until) for name, data in files.items()},
        previous=last.digest if last else "",
        sealed_at=now,
        kept_until=until,
        verdict=told[1],
    )
    stored = signing.signed(read_secret(plan.folder, policy.key), SEAL, seal.model_dump_json().encode())
    if not chain.add(seal.number, stored, until):
        raise Transient(f"another run added link {seal.number} meanwhile")
    head = Head(number=seal.number, digest=digest_of(stored))
    chain.witness(head.model_dump_json())
    return seal, Link(number=seal.number, digest=head.digest, seal=seal, locked_until=until)
