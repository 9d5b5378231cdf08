"""A report that was changed after it was sealed is told, though the change was sealed as well."""

from datetime import UTC, datetime, timedelta

from tasks.facts.sealed import Link, Seal
from tasks.policy.sealed import flaws

NOON = datetime(2026, 6, 30, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=2000)


def chain(*subjects):
    links = []
    for number, subject in enumerate(subjects, 1):
        seal = Seal(
            number=number, subject=subject, files={"report.json": f"{number:064x}"},
            previous=links[-1].digest if links else "", sealed_at=NOON, kept_until=LATER, verdict="passed",
        )  # fmt: skip
        links.append(Link(number=number, digest=f"{number}", seal=seal, locked_until=LATER))
    return links


def test_a_drill_is_sealed_once_and_an_incident_again_when_its_loss_is_known():
    assert flaws(chain("dr-drill-a", "inc-1", "dr-drill-b", "inc-1"), {}, {}, {}) == []


def test_a_drill_whose_report_was_rewritten_and_sealed_again_is_told():
    found = flaws(chain("dr-drill-a", "inc-1", "dr-drill-a"), {}, {}, {})
    assert found == ["dr-drill-a: link 3 seals another report of it than link 1"]
