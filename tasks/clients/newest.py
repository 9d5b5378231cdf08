"""Records that are written again and again: every store's version of them, for a reader who takes the newest.

`records.read` takes the first store that has one, which may have been down when the newest was written.
"""

from collections.abc import Mapping
from functools import partial

from tasks.clients.objects import Bucket, Missing
from tasks.clients.parallel import ask_all
from tasks.errors import DrError, Transient
from tasks.plan.plan import Plan


def versions(plan: Plan, folder: str, *, timeout: float = 10) -> Mapping[str, tuple[str, ...]]:
    """Every record below a folder, by its key, as each store that answers has it.

    Raises:
        Transient: no store answers.
    """
    answers = ask_all({site: partial(_read, plan, site, folder) for site in plan.sites}, timeout)
    good = [answer for answer in answers.values() if not isinstance(answer, DrError)]
    if not good:
        raise Transient("no store answers", "; ".join(map(str, answers.values())))
    keys = sorted({key for answer in good for key in answer})
    return {key: tuple(answer[key] for answer in good if key in answer) for key in keys}


def _read(plan: Plan, site: str, folder: str) -> dict[str, str]:
    bucket, found = Bucket.readable(plan, site, 5), {}
    for entry in bucket.list(folder):
        try:
            # One record that is no text hides no other.
            found[entry.key] = bucket.get(entry.key).decode(errors="replace")
        except Missing:
            continue  # removed meanwhile
    return found
