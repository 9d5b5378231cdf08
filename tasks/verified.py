"""What was verified when: records in every site's store. No Prefect here: `dr backups` is quick."""

from collections.abc import Mapping

from pydantic import TypeAdapter, ValidationError

from tasks.clients import newest, records
from tasks.facts.backups import Verified
from tasks.plan.plan import Plan

_FOLDER = "verified"
_JSON = TypeAdapter(Verified)


def write_verified(plan: Plan, verified: Verified) -> None:
    """Keep the newest verification of an asset's copies at a site.

    Raises:
        Transient: no store takes it.
    """
    key = f"{_FOLDER}/{verified.site}/{verified.asset}.json"
    records.write(plan, key, _JSON.dump_json(verified, indent=2))


def read_verified(plan: Plan) -> Mapping[tuple[str, str], Verified]:
    """The newest verification on record, by asset and site; a record that cannot be read is none.

    Raises:
        Transient: no store answers.
    """
    found: dict[tuple[str, str], Verified] = {}
    for texts in newest.versions(plan, _FOLDER).values():
        for each in filter(None, map(_parsed, texts)):
            known = found.get((each.asset, each.site))
            if known is None or each.at > known.at:
                found[each.asset, each.site] = each
    return found


def _parsed(text: str) -> Verified | None:
    try:
        return _JSON.validate_json(text)
    except ValidationError:
        return None
