"""Copy good objects over damaged ones, from a site that provably has them good."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from tasks.clients import records
from tasks.clients.copies import copy
from tasks.clients.objects import Bucket
from tasks.errors import Permanent
from tasks.facts.backups import Damage
from tasks.facts.copies import Healed
from tasks.looking import Look, buckets_of, frame_of
from tasks.plan.plan import Plan
from tasks.policy.comparison import good_site
from tasks.policy.replication import repositories
from tasks.retry import retried

_REQUEST_S = 1800.0


@retried("heal damaged copies")
def heal(plan: Plan, damages: Sequence[Damage]) -> list[Healed]:
    """Copy good objects over damaged ones; in a locked bucket that is a new version. Recorded at every site.

    Raises:
        Transient: a store does not answer.
        Permanent: a store refuses, or of some damages no site provably has the object good.
    """
    if not damages:
        return []
    frame, buckets, cipher = frame_of(plan), buckets_of(plan), plan.secret("repository_cipher")
    kinds = repositories(plan.postgresql_ha.cluster_name)
    healed = []
    for damage in damages:
        look = Look(buckets, kinds[damage.name.partition("/")[0]], frame, cipher)
        healed.append(heal_object(look, damage, Bucket.owned(plan, damage.site, _REQUEST_S)))
    _record(plan, healed)
    return _proven(healed)


def heal_object(look: Look, damage: Damage, target: Bucket) -> Healed:
    """Copy one object over a damaged one, where it is proven which site has it good."""
    seen = look.at(damage.name)
    source = good_site(seen, look.frame, damage.site) if seen else None
    if seen and source:
        copy(look.buckets[source], target, seen.entries[source], look.promise(seen))
    return Healed(damage, source or "")


def _record(plan: Plan, healed: Sequence[Healed]) -> None:
    lines = [
        json.dumps({"site": each.damage.site, "object": each.damage.name, "was": each.damage.what,
                    "from": each.source or None})
        for each in healed
    ]  # fmt: skip
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    records.write(plan, f"healed/{stamp}.jsonl", "\n".join(lines) + "\n")


def _proven(healed: list[Healed]) -> list[Healed]:
    open_ones = [each.damage for each in healed if not each.source]
    if open_ones:
        told = "; ".join(f"{each.site}: {each.name}: {each.what}" for each in open_ones[:5])
        hint = "look at every site's object by hand"
        raise Permanent(
            f"{len(open_ones)} of {len(healed)} damages are left: nothing proves a copy", told, hint
        )
    return healed
