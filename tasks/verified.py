"""What was verified when: records in every site's store. No Prefect here: `dr backups` is quick.

A record that cannot be read says nothing of its copy, least of all that it is whole.
"""

from collections.abc import Iterable, Mapping

from pydantic import TypeAdapter, ValidationError

from tasks.clients import newest, records
from tasks.errors import DrError, Permanent
from tasks.facts.backups import Verified
from tasks.plan.plan import Plan

_FOLDER = "verified"
_JSON = TypeAdapter(Verified)
# By asset and site; an error where no store has a record that can be read.
Verifications = Mapping[tuple[str, str], Verified | DrError]


def write_verified(plan: Plan, verified: Verified) -> None:
    """Keep the newest verification of an asset's copies at a site.

    Raises:
        Transient: no store takes it.
    """
    key = f"{_FOLDER}/{verified.site}/{verified.asset}.json"
    records.write(plan, key, _JSON.dump_json(verified, indent=2))


def read_verified(plan: Plan) -> Verifications:
    """The newest verification on record of every asset at every site that has one.

    Raises:
        Transient: no store answers.
    """
    return {_place(key): _newest(key, texts) for key, texts in newest.versions(plan, _FOLDER).items()}


def _place(key: str) -> tuple[str, str]:
    site, _, asset = key.removeprefix(f"{_FOLDER}/").removesuffix(".json").partition("/")
    return asset, site


def _newest(key: str, texts: Iterable[str]) -> Verified | DrError:
    known = [each for each in map(_parsed, texts) if each]
    if not known:
        return Permanent("the record of its damage cannot be read", key, "verify_backups writes it anew")
    return max(known, key=lambda each: each.at)


def _parsed(text: str) -> Verified | None:
    try:
        return _JSON.validate_json(text)
    except ValidationError:
        return None
