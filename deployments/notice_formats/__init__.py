"""What senders write: one module a format, each a pure function `parse(body, plan)`."""

from collections.abc import Callable, Mapping
from typing import Any

from deployments.notice_formats import alertmanager, aws_health, azure_health, google_health, plain
from deployments.notice_formats.notice import Notice
from tasks.plan.plan import Plan

FORMATS: Mapping[str, Callable[[Any, Plan], list[Notice]]] = {
    module.NAME: module.parse for module in (plain, alertmanager, aws_health, azure_health, google_health)
}
