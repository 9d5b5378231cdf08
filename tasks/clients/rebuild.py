"""Leave to make a node anew that cannot be rewound, and how each node's data directory came to be.

Patroni removes a data directory whose rewind failed and makes it anew, where its dynamic configuration lets
it. It knows of nothing to save there, so it has that leave only from the rescue until the site follows.

Source: Patroni manual, "Dynamic configuration settings", "Building replicas"; PostgreSQL manual, "Low-Level
Base Backup".
"""

import json
from typing import Any

from tasks.clients.layout import Layout
from tasks.clients.patroni import REBUILD, edit_config, without_rebuild
from tasks.clients.remote import run_on
from tasks.plan.plan import Plan

FOLLOWED = "followed as it was"
REWOUND = "rewound"
RESTORED = "restored from its own site's repository"
COPIED = "copied from another server"
_ANSWER_S = 30
# A node without data has nothing to rewind: it need not be told.
_HEARD = (
    'if [ -e "$1/global/pg_control" ]; then cat "$1/patroni.dynamic.json" 2>/dev/null || :; else echo; fi'
)
# PostgreSQL sets the label aside once it has recovered by it; two labels of one backup differ by their inode.
_LABEL = """
for name in backup_label backup_label.old; do
    if [ -e "$1/$name" ]; then stat -c %i "$1/$name"; cat "$1/$name"; exit 0; fi
done
"""


def allow(plan: Plan, site: str) -> None:
    """Let Patroni make anew what it cannot rewind: only once what only the site has is saved.

    Raises:
        Transient: etcd has no quorum, or the record changed under us.
    """

    def allowed(config: dict[str, Any]) -> dict[str, Any]:
        return config | {"postgresql": (config.get("postgresql") or {}) | {REBUILD: True}}

    edit_config(plan, site, allowed)


def forbid(plan: Plan, site: str) -> None:
    """Take the leave away.

    Raises:
        Transient: etcd has no quorum, or the record changed under us.
    """
    edit_config(plan, site, without_rebuild)


def has_heard(plan: Plan, site: str, host: str) -> bool:
    """Whether a node's Patroni goes by the leave; one without data may do as it likes.

    Patroni writes down the configuration that it goes by after it has taken it over. A rewind that fails
    before is not tried again.

    Raises:
        Transient: the host cannot be reached.
    """
    told = _ask(plan, site, host, _HEARD)
    return told == "\n" or bool(told and json.loads(told).get("postgresql", {}).get(REBUILD))


def label_of(plan: Plan, site: str, host: str) -> str:
    """The label that a node's data directory last recovered by; empty where it began as an empty cluster.

    Raises:
        Transient: the host cannot be reached.
    """
    return _ask(plan, site, host, _LABEL)


def way_of(before: str, after: str) -> str:
    """How a node came to follow, from its label before and after.

    Returns:
        FOLLOWED, REWOUND, RESTORED or COPIED.
    """
    if after == before:
        return FOLLOWED
    if "BACKUP METHOD: pg_rewind" in after:
        return REWOUND
    return RESTORED if "LABEL: pgBackRest" in after else COPIED


def _ask(plan: Plan, site: str, host: str, script: str) -> str:
    data = str(Layout.of(plan, site, host).data_dir)
    address = str(plan.sites[site].hosts[host].address)
    return run_on(plan, address, ["sh", "-c", script, "sh", data], timeout=_ANSWER_S)
