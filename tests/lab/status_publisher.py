"""A publisher in a process of its own, which may be killed just before one of its writes."""

import itertools
import os
import signal
import sys
from pathlib import Path

from status_notices import SETTINGS

from tasks.clients.objects import Bucket
from tasks.facts.status import PublicNotice
from tasks.plan.load import load_plan
from tasks.status_page import publish

plan, dies_at = load_plan(Path(sys.argv[1])), int(sys.argv[2])
writes = itertools.count(1)


def dying(write):
    def written(*arguments, **options):
        if next(writes) == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return write(*arguments, **options)

    return written


for name in ("put", "replace"):
    setattr(Bucket, name, dying(getattr(Bucket, name)))
publish(plan, SETTINGS, PublicNotice.model_validate_json(sys.stdin.read()), None)
