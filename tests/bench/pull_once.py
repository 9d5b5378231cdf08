"""One pull of one repository, as the product makes it, in a process of its own; two buckets on stdin."""

import json
import sys

from tasks.clients.objects import Bucket, Location
from tasks.copying import Rules, pull_repository
from tasks.plan.references import Credentials
from tasks.policy.replication import repositories


def main() -> None:
    """Pull, and tell how many objects were copied."""
    told = json.loads(sys.stdin.read())
    sides = [
        Bucket(Location(**{**side, "credentials": Credentials(*side["credentials"])}), 600)
        for side in (told["source"], told["target"])
    ]
    done = pull_repository(*sides, repositories("main")["pgbackrest"], Rules())
    if done.conflicts or done.refused:
        raise SystemExit(f"not copied: {done}")
    sys.stdout.write(f"{done.objects} {done.skipped}\n")


if __name__ == "__main__":
    main()
