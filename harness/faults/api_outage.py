"""``api-outage``: AWS services of a site answer 503: a control plane is down, its data plane is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from harness.common.durations import Duration
from harness.environments.base import Environment, EnvironmentFailed
from harness.faults.base import FaultFailed, Parameters


class ApiOutageParameters(Parameters):
    """``{site: global, services: [iam, route53]}``; ``global`` is us-east-1."""

    site: Literal["primary", "secondary", "global"]
    services: tuple[Literal["rds", "s3", "iam", "route53", "secretsmanager", "kms", "monitoring"], ...] = (
        Field(min_length=1))
    duration: Annotated[Duration, Field(ge=1)] | None = Field(default=None, alias="for")
    """After so long they answer again by themselves; otherwise when the site is healed."""


class ApiOutage:
    """Services that answer everybody with 503."""

    name = "api-outage"
    parameters: type[Parameters] = ApiOutageParameters
    disrupts = False
    cuts_links = False

    def undo(self, parameters: ApiOutageParameters) -> Mapping[str, Any]:
        """Let the site's services answer again."""
        return {"end-api-outage": parameters.site}

    def concerns(self, undo: Mapping[str, Any], site: str) -> bool:
        """The site whose services do not answer; the global ones are everybody's."""
        return undo["end-api-outage"] in (site, "global")

    def revert(self, environment: Environment, undo: Mapping[str, Any]) -> Mapping[str, Any]:
        """Let the services answer, and ask the endpoint which ones it still refuses."""
        seen = environment.api_outage(undo["end-api-outage"], ())
        if still := seen.get("refused"):
            raise EnvironmentFailed(f"services of {undo['end-api-outage']} are still refused: {', '.join(still)}")
        return seen

    def inject(self, environment: Environment, parameters: ApiOutageParameters) -> Mapping[str, Any]:
        """Take the services away and ask the endpoint which ones it refuses."""
        seen = environment.api_outage(
            parameters.site, parameters.services, seconds=parameters.duration)
        if set(seen.get("refused", ())) != set(parameters.services):
            raise FaultFailed(f"the endpoint refuses {seen.get('refused')}, not {parameters.services}")
        return seen
