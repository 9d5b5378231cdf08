"""What is wrong with a chain of evidence. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from tasks.clients.drill_ground import PREFIX
from tasks.facts.sealed import Head, Link, Seal
from tasks.policy.tables import moment


def newest(links: Sequence[Link]) -> dict[str, Seal]:
    """The last seal of each subject."""
    return {link.seal.subject: link.seal for link in links if link.seal}


def link_words(link: Link) -> tuple[str, str, str, str]:
    """Whose report a link vouches for, its verdict, when it was sealed, until when it is kept."""
    seal = link.seal
    if seal is None:
        return "not ours", link.flaw, "", ""
    return seal.subject, seal.verdict, moment(seal.sealed_at), f"{seal.kept_until:%Y-%m-%d}"


def silence_words(silent: Mapping[str, str]) -> list[str]:
    """Who could not be asked what the newest link is, and why."""
    return [f"{site} could not be asked what it witnessed: {why}" for site, why in silent.items()]


def flaws(
    links: Sequence[Link], bodies: Mapping[str, str], heads: Mapping[str, Head], expected: Mapping[str, str]
) -> list[str]:
    """Everything that is wrong with the evidence, the most telling first; nothing where it is whole.

    Args:
        links: what the store has, by number.
        bodies: what is wrong with each file that a seal vouches for, by the SHA-256 it should have; only
            those that are wrong.
        heads: the newest link that each site witnessed.
        expected: the SHA-256 of the report that each subject has now.
    """
    return [
        *_gaps(links, heads),
        *(flaw for link in links for flaw in _link_flaws(link)),
        *_broken(links),
        *_altered(links, bodies),
        *_moved(links, heads),
        *_rewritten(links),
        *_unsealed(links, expected),
    ]


def unwitnessed(silent: Collection[str], witnesses: Iterable[str]) -> list[str]:
    """That nobody but the archive itself says where the chain ends: its last links may be gone unseen.

    Args:
        silent: the sites that could not be asked.
        witnesses: all sites but the archive.
    """
    if {*witnesses} - {*silent}:
        return []
    return [f"only the archive says where the chain ends: {', '.join(sorted(silent))} could not be asked"]


def _gaps(links: Sequence[Link], heads: Mapping[str, Head]) -> list[str]:
    last = max([0, *(link.number for link in links), *(head.number for head in heads.values())])
    missing = sorted({*range(1, last + 1)} - {link.number for link in links})
    return [f"link {number} is missing: a report was removed" for number in missing]


def _link_flaws(link: Link) -> Iterable[str]:
    if link.seal is None:
        yield f"link {link.number} is not ours: {link.flaw}"
        return
    if link.seal.number != link.number:
        yield f"link {link.number} says that it is link {link.seal.number}: the chain was reordered"
    if link.locked_until is None or link.locked_until < link.seal.kept_until:
        yield f"link {link.number} can be deleted before {link.seal.kept_until:%Y-%m-%d}"


def _broken(links: Sequence[Link]) -> list[str]:
    digests = {link.number: link.digest for link in links}
    return [
        f"link {link.number} does not follow link {link.number - 1} as it is stored now"
        for link in links
        if link.seal and link.seal.previous != digests.get(link.number - 1, "")
        # A link that is missing is told already.
        if link.number == 1 or link.number - 1 in digests
    ]


def _altered(links: Sequence[Link], bodies: Mapping[str, str]) -> list[str]:
    return [
        f"{name} of {link.seal.subject} (link {link.number}): {bodies[digest]}"
        for link in links
        if link.seal
        for name, digest in link.seal.files.items()
        if digest in bodies
    ]


def _moved(links: Sequence[Link], heads: Mapping[str, Head]) -> list[str]:
    digests = {link.number: link.digest for link in links}
    return [
        f"{site} saw another link {head.number} than is stored now"
        for site, head in heads.items()
        if digests.get(head.number, head.digest) != head.digest
    ]


def _rewritten(links: Sequence[Link]) -> list[str]:
    """A drill's report is written once: of an incident's, the loss becomes exact when its site returns."""
    first: dict[str, int] = {}
    sealed = [(link.number, link.seal.subject) for link in links if link.seal]
    drills = [each for each in sealed if each[1].startswith(PREFIX)]
    return [
        f"{subject}: link {number} seals another report of it than link {first[subject]}"
        for number, subject in drills
        if first.setdefault(subject, number) != number
    ]


def _unsealed(links: Sequence[Link], expected: Mapping[str, str]) -> list[str]:
    sealed = newest(links)
    told = []
    for subject, digest in expected.items():
        if subject not in sealed:
            told.append(f"{subject} has a report that is not sealed yet")
        elif digest not in sealed[subject].files.values():
            told.append(f"{subject}: its report is not the one that was sealed last")
    return told
