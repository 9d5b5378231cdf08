"""Validate a recovery. Source: the seed's "Recovery Validation"."""

from prefect import flow

from tasks.current import current_plan
from tasks.declare import finished_incident
from tasks.facts.validation import Subject, Validated
from tasks.plan.validation import Suite
from tasks.policy.validation import chosen_suites
from tasks.validate import validate_smoke
from tasks.validate_integration import validate_integration
from tasks.validate_performance import validate_performance
from tasks.validate_security import validate_security
from tasks.validation_record import publish_validation, subject_of_site

_SUITES = {"smoke": validate_smoke, "integration": validate_integration, "security": validate_security}


@flow(persist_result=False)
def validate_recovery(
    incident: str | None = None, suites: list[Suite] | None = None, site: str | None = None
) -> Validated:
    """Run suites of checks against the site that serves the users, and write down what each check came to.

    Args:
        incident: the incident whose recovery is validated; the latest where empty.
        suites: smoke, integration, performance, security; all of them where empty.
        site: validate this site without an incident, as before a disaster.

    Returns:
        the record; the run fails where a check failed or could not be told.
    """
    plan = current_plan()
    chosen = chosen_suites(suites)
    subject = subject_of_site(plan, site) if site else Subject.of(finished_incident(plan, incident)[0])
    running = [check.submit(plan, subject) for suite, check in _SUITES.items() if suite in chosen]
    results = [result for future in running for result in future.result()]
    # Alone: the other suites would be the load that it measures.
    results += validate_performance(plan, subject) if "performance" in chosen else ()
    return publish_validation(plan, subject, chosen, results)
