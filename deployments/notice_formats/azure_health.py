"""Azure Service Health through an action group's webhook, with the common alert schema or without.

https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-payload-samples
https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-non-common-schema-definitions

An active incident (no maintenance, no advisory, no test) asks for something in each region where a service of
SERVICES is impacted. Azure writes "East US" or "eastus" for a region; a site may be called eastus or east-us.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AliasPath, AwareDatetime, ConfigDict, Field, Json
from pydantic.alias_generators import to_pascal

from deployments.notice_formats.notice import CamelForm, Form, Notice, read, words
from tasks.plan.plan import Plan

NAME = "azure-health"
SERVICES = frozenset(
    {"virtual machines", "virtual network", "network infrastructure", "storage", "azure storage"}
)


class _PascalForm(Form):
    model_config = ConfigDict(alias_generator=to_pascal)


class _Region(_PascalForm):
    region_name: str


class _Impacted(_PascalForm):
    service_name: str
    impacted_regions: tuple[_Region, ...]


class _Kind(CamelForm):
    incident_type: str = ""
    stage: str = ""
    is_synthetic: Any = ""


class _Incident(CamelForm):
    title: str = ""
    tracking_id: Annotated[str, Field(min_length=1)]
    impact_start_time: AwareDatetime
    impacted_services: Json[tuple[_Impacted, ...]]

    def hit(self, plan: Plan) -> list[str]:
        """The plan's sites in which something is impacted that the servers stand on."""
        named = {
            _squeezed(region.region_name)
            for impacted in self.impacted_services
            if impacted.service_name.lower() in SERVICES
            for region in impacted.impacted_regions
        }
        return [site for site in plan.sites if _squeezed(site) in named]


class _Log(CamelForm):
    status: str = ""
    level: Any = None
    properties: dict[str, Any] | None = None


class _Activity(Form):
    origin: str = Field(validation_alias=AliasPath("data", "context", "activityLog", "eventSource"))
    log: _Log = Field(validation_alias=AliasPath("data", "context", "activityLog"))
    condition: ClassVar[str] = "Fired"


class _Common(Form):
    origin: str = Field(validation_alias=AliasPath("data", "essentials", "monitoringService"))
    condition: str = Field("Fired", validation_alias=AliasPath("data", "essentials", "monitorCondition"))
    log: _Log = Field(validation_alias=AliasPath("data", "alertContext"))


class _Schema(CamelForm):
    schema_id: Literal["Microsoft.Insights/activityLogs", "azureMonitorCommonAlertSchema"]


def parse(body: Any, plan: Plan) -> list[Notice]:
    """Read one alert: a notice for each site that its incident impacts.

    Raises:
        Refused: it is no Azure alert, or its incident is not told as documented.
    """
    schema = read(_Schema, body).schema_id
    alert = read(_Common, body) if schema == "azureMonitorCommonAlertSchema" else read(_Activity, body)
    if alert.origin != "ServiceHealth" or alert.condition != "Fired":
        return []
    kind = read(_Kind, alert.log.properties or {})
    active = "Active" in {kind.stage, alert.log.status} and "Resolved" not in {kind.stage, alert.log.status}
    if kind.incident_type != "Incident" or not active or kind.is_synthetic in ("True", "true", True):
        return []
    incident = read(_Incident, alert.log.properties)
    reason = words(f"Azure Service Health: {incident.title}")
    level = alert.log.level if isinstance(alert.log.level, str | int) else "unknown"
    severity = words(str(level), 20)
    at, key = incident.impact_start_time, incident.tracking_id
    return [Notice(site, reason, at, severity, NAME, key) for site in incident.hit(plan)]


def _squeezed(region: str) -> str:
    return region.replace(" ", "").replace("-", "").lower()
