"""Looking at sealed evidence. No Prefect here: `dr report verify` is quick.

Source: ISO 22301 8.5 and DORA RTS Art. 25 want the results of tests kept so that nobody can alter them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.clients import signing
from tasks.clients.chain import Chain, digest_of
from tasks.errors import DrError, Permanent, Refused
from tasks.evidence import sealable
from tasks.facts.sealed import Head, Link, Seal
from tasks.plan.evidence import EvidencePolicy
from tasks.plan.plan import Plan
from tasks.plan.references import read_secret
from tasks.policy.page import index
from tasks.policy.sealed import flaws, newest, unwitnessed

SEAL = "application/vnd.naas-dr.seal+json"
"""The media type of a link's payload."""


@dataclass(frozen=True)
class Evidence:
    """What there is.

    Attributes:
        links: the chain, by number.
        flaws: everything that is wrong with it.
        silent: the sites that could not be asked what they witnessed, and why.
    """

    links: tuple[Link, ...]
    flaws: tuple[str, ...]
    silent: Mapping[str, str]


def policy_of(plan: Plan) -> EvidencePolicy:
    """How the plan keeps its evidence.

    Raises:
        Refused: it seals nothing.
    """
    if plan.evidence is None:
        raise Refused("the plan seals no reports", hint="give it an `evidence` block")
    return plan.evidence


def trusted_keys(plan: Plan) -> str:
    """The public keys whose seals are believed: the plan's own, and those it trusts beside it.

    Raises:
        Permanent: a key cannot be read.
        Refused: the plan seals nothing.
    """
    policy = policy_of(plan)
    own = signing.public_key(read_secret(plan.folder, policy.key))
    return "\n".join([own, *(read_secret(plan.folder, each) for each in policy.trusted)])


def heads_of(told: Mapping[str, str | DrError | None]) -> dict[str, Head]:
    """The newest link that each site knows, of those that could be asked."""
    return {site: Head.model_validate_json(text) for site, text in told.items() if isinstance(text, str)}


def verify_evidence(plan: Plan) -> Evidence:
    """Look at every link, every file, every lock, what the sites witnessed, and what the journal has.

    Raises:
        Transient: the archive's store does not answer, or none that has the journal.
        Permanent: it refuses, or a key cannot be read.
        Refused: the plan seals nothing.
    """
    trusted, chain = trusted_keys(plan), Chain(plan)
    return evidence_of(plan, chain, read_links(chain, trusted))


def evidence_of(plan: Plan, chain: Chain, links: Sequence[Link]) -> Evidence:
    """What there is of a chain whose links were read.

    Raises:
        Transient, Permanent: see `verify_evidence`.
    """
    sealed = {digest for link in links if link.seal for digest in link.seal.files.values()}
    bodies = {digest: wrong for digest in sealed if (wrong := chain.what_is_wrong_with(digest))}
    expected = {subject: digest_of(text.encode()) for subject, text in sealable(plan)}
    told = chain.witnessed()
    silent = {site: str(answer) for site, answer in told.items() if isinstance(answer, DrError)}
    found = [
        *flaws(links, bodies, heads_of(told), expected),
        *unwitnessed(silent, plan.sites.keys() - {chain.site}),
    ]
    return Evidence(tuple(links), tuple(found), silent)


def export_evidence(plan: Plan, folder: Path) -> int:
    """Write the files of each newest seal, the chain, the public keys and an index; how many reports.

    Raises:
        Transient, Permanent: see `verify_evidence`.
        Refused: the plan seals nothing.
    """
    trusted, chain = trusted_keys(plan), Chain(plan)
    (folder / "chain").mkdir(parents=True, exist_ok=True)
    (folder / "keys.pem").write_text(trusted)
    links = read_links(chain, trusted)
    for link in links:
        (folder / "chain" / f"{link.number:08}.json").write_bytes(chain.link(link.number))
    seals = newest(links)
    for seal in seals.values():
        (folder / seal.subject).mkdir(exist_ok=True)
        for name, digest in seal.files.items():
            (folder / seal.subject / name).write_bytes(chain.file(digest))
    (folder / "index.html").write_text(index(tuple(seals.values()), evidence_of(plan, chain, links).flaws))
    return len(seals)


def read_links(chain: Chain, trusted: str) -> list[Link]:
    """Every link by its number, with what is wrong with it.

    Raises:
        Transient, Permanent: see `Chain`.
    """
    return [_read_link(chain, number, trusted) for number in chain.numbers()]


def _read_link(chain: Chain, number: int, trusted: str) -> Link:
    stored = chain.link(number)
    digest, locked = digest_of(stored), chain.locked_until(number)
    try:
        seal = Seal.model_validate_json(signing.opened(stored, SEAL, trusted))
    except Permanent as error:
        return Link(number=number, digest=digest, seal=None, flaw=str(error), locked_until=locked)
    return Link(number=number, digest=digest, seal=seal, locked_until=locked)
