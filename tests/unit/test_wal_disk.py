"""When WAL would fill the disk, as the exporter tells it."""

import math

import pytest

from deployments.measures import _full_in_s
from tasks.facts.archive import ArchiveNumbers

CASES = [
    ("ok", 60.0, math.inf),  # a bulk load whose WAL is archived as it is written
    ("ok", None, math.inf),  # nothing is written
    ("warning", 1800.0, 1800.0),
    ("critical", 60.0, 60.0),
    ("unknown", 60.0, None),
]


@pytest.mark.parametrize(("severity", "left", "told"), CASES)
def test_a_disk_fills_only_while_wal_waits(severity, left, told):
    findings = {"primary": {"disk": severity, "archiver": "ok"}, "us-west-2": {"gaps": "ok"}}
    numbers = ArchiveNumbers.__new__(ArchiveNumbers)
    for name, value in {"findings": findings, "full_in_s": left}.items():
        object.__setattr__(numbers, name, value)
    assert _full_in_s(numbers) == told
