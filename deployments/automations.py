"""What an event starts: a changed repository is backed up at once."""

from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.events.actions import RunDeployment
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound

from infra.hooks import EVENT, RESOURCE

NAME = "naas-dr: back up changed configuration"
_DEPLOYMENT = "backup-configuration"
# A plain template would arrive as text whatever it holds.
_REPOSITORY: dict[str, Any] = {
    "__prefect_kind": "json",
    "value": {"__prefect_kind": "jinja", "template": "{{ event.payload.repository | tojson }}"},
}


def register_automations(client: SyncPrefectClient) -> None:
    """Let a change of a repository start its backup; the same again changes nothing.

    Raises:
        httpx.HTTPError: the Prefect server does not answer or refuses.
    """
    known = client.read_automations_by_name(NAME)
    wanted = _wanted(client)
    for extra in known if wanted is None else known[1:]:
        client.delete_automation(extra.id)
    if wanted is None:
        return
    if known:
        client.update_automation(known[0].id, wanted)
    else:
        client.create_automation(wanted)


def _wanted(client: SyncPrefectClient) -> AutomationCore | None:
    try:
        deployment = client.read_deployment_by_name(f"{_DEPLOYMENT}/{_DEPLOYMENT}")
    except ObjectNotFound:
        return None
    return AutomationCore(
        name=NAME,
        description="The repository's hook tells of a commit; the schedule catches up what was not told.",
        enabled=True,
        trigger=EventTrigger(
            expect={EVENT},
            match={"prefect.resource.id": f"{RESOURCE}.*"},
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[RunDeployment(deployment_id=deployment.id, parameters={"repository": _REPOSITORY})],
    )
