"""A report of an incident, to be changed where a test needs another."""

from datetime import UTC, datetime, timedelta

from tasks.facts.incident import StepRecord
from tasks.facts.loss import Loss
from tasks.facts.report import Phases, Report, Targets

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LOSS = Loss(lost_transactions=3, lost_seconds=0.5, basis="bound")
STEP = StepRecord(name="fence", started=NOON, ended=NOON + timedelta(seconds=1), attempts=1, outcome="done")


def report(**changed):
    fields = {
        "incident": "inc-1",
        "verdict": "met",
        "reason": "no power",
        "failed_site": "north",
        "to_site": "south",
        "epoch": 1,
        "detected_at": NOON,
        "recovered_at": NOON,
        "first_write_at": NOON,
        "targets": Targets(tier="premium", rto_seconds=3600, rpo_seconds=900),
        "rto_seconds": Phases(detect=20, decide=1, execute=2, verify=0.5, total=23.5),
        "rpo": LOSS,
        "bound": LOSS,
        "ledger": None,
        "steps": (STEP,),
    }
    return Report(**fields | changed)
