"""The drill file as typed models; its JSON Schema for editors is made from them.

``python -m harness.drill.schema`` writes ``harness/drill/drill.schema.json``; a test holds the two together.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    create_model,
    field_validator,
    model_validator,
)

from harness.common.durations import Duration
from harness.common.masking import Variables, matches
from harness.common.quoting import INVISIBLE, name_of, shown
from harness.drill.claims import CLAIMS
from harness.faults import FAULTS

SCHEMA_FILE = Path(__file__).with_name("drill.schema.json")
PHASES_MOST = 200
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]{2,12}){1,2}-[0-9]{1,2}")


def _kebab(name: str) -> str:
    return name.replace("_", "-")


class Model(BaseModel):
    """Base of everything in a drill file: unknown keys are errors, keys are kebab-case."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=_kebab)


def _claim(value: str) -> str:
    if value not in CLAIMS:
        raise ValueError(f"no such claim: {shown(value)} (drill list --claims)")
    return value


Claim = Annotated[str, AfterValidator(_claim)]


class Metadata(Model):
    """Who the drill is, and which claims it proves."""

    name: str
    title: Annotated[str, Field(max_length=200)] = ""
    proves: tuple[Claim, ...] = ()

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError("must be lower case letters, digits and '-', at most 40 characters, and begin and end"
                             f" with a letter or digit, not {shown(value)}")
        return value

    @field_validator("title")
    @classmethod
    def _is_a_line(cls, value: str) -> str:
        if odd := [*INVISIBLE.findall(value), *re.findall("[\t\r\n]", value)]:
            raise ValueError(f"must be one line of text that can be seen; it holds {name_of(odd[0])}")
        return value

    @field_validator("proves")
    @classmethod
    def _are_different(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if twice := sorted({claim for claim in value if value.count(claim) > 1}):
            raise ValueError(f"named twice: {', '.join(twice)}; once is enough")
        return value


def _region(value: str) -> str:
    if not _REGION.fullmatch(value):
        raise ValueError(f"must be the name of a region, such as us-west-2, not {shown(value)}")
    return value


Region = Annotated[str, AfterValidator(_region)]
Count = Annotated[int, Field(strict=True, ge=0)]
Timeout = Annotated[Duration, Field(ge=1)]
"""How long something may take; nothing comes about in no time."""


class EnvironmentSpec(Model):
    """Where the drill runs."""

    provider: Literal["embedded"] = "embedded"
    primary: Region = "us-west-2"
    secondary: Region = "us-east-2"
    simulated_head_delay: Duration = 0.0
    """How long provisioning database compute is made to take (AWS needs 5 to 10 minutes)."""
    rpo_bound: Annotated[Duration, Field(ge=20)] | None = 20.0
    """``rds.global_db_rpo``: commits wait while the standby is further behind; null: never."""
    drain: Duration = 30.0
    """How long a planned move lets running tasks come to their end."""

    @model_validator(mode="after")
    def _two_regions(self) -> Self:
        if self.primary == self.secondary:
            raise ValueError("primary and secondary must be two different regions")
        return self


class TaskSpec(Model):
    """The load's tasks: how long they run, and how often those that may retry do."""

    duration: Annotated[Duration, Field(ge=1)] = 30.0
    retries: Annotated[int, Field(strict=True, ge=0, le=10)] = 2


class LedgerSpec(Model):
    """How hard the ledger writers write, per Deployment."""

    rows_per_second: Annotated[float, Field(strict=True, gt=0, le=2000)] = 5.0
    row_bytes: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 200


class ProbeSpec(Model):
    """How often each Deployment is probed. The interval is the error of every RTO."""

    interval: Annotated[Duration, Field(ge=0.5, le=60)] = 2.0


class FleetSpec(Model):
    """How many Airflow Deployments, and how much load."""

    deployments: Annotated[int, Field(strict=True, ge=1, le=120)] = 8
    concurrent_tasks: Annotated[int, Field(strict=True, ge=1, le=10_000, alias="concurrent_tasks")] = 125
    task: TaskSpec = TaskSpec()
    ledger: LedgerSpec = LedgerSpec()
    canary: Annotated[Duration, Field(ge=5, le=300)] = 10.0
    """How often each Deployment runs its canary Dag, by which its recovery is seen."""
    environment: Annotated[dict[str, str], Field(max_length=100)] = {}
    """Environment variables of every Deployment: Airflow settings of its own, for example (see ``overrides``).

    Their values are secrets: no journal, report or message shows them."""
    public_environment: Annotated[tuple[str, ...], Field(max_length=100)] = ()
    """Which of them may be shown: names, or how names begin, with a ``*`` at the end."""

    @model_validator(mode="after")
    def _public_ones_are_there(self) -> Self:
        unknown = [each for each in self.public_environment
                   if not any(matches(each, name) for name in self.environment)]
        if unknown:
            raise ValueError(f"public-environment: there is no such variable in environment: {shown(unknown[0])}"
                             + (f", and {len(unknown) - 1} more" if len(unknown) > 1 else ""))
        return self

    @property
    def variables(self) -> Variables:
        """The variables, and which of them may be shown."""
        return Variables(self.environment, self.public_environment)


class OrchestratorSpec(Model):
    """Whom the drill asks to fail over."""

    driver: Literal["astro"] = "astro"


class LoadPhase(Model):
    """Start the load and wait until it is there."""

    until: Literal["saturated"] = "saturated"
    hold: Duration = 0.0
    """How long it must then stay there."""
    timeout: Timeout = 300.0


class FailoverPhase(Model):
    """Ask the orchestrator to fail over, and wait for it to say that it has."""

    timeout: Timeout = 1800.0
    planned: StrictBool = False
    """A switchover: the region that is left is alive, and nothing may be lost. A failback always is."""
    expect: Literal["accepted", "refused"] = "accepted"
    """``refused``: the orchestrator must say no, and why; nothing may move."""


class SettlePhase(Model):
    """Wait until every Deployment is up again and every task that was in flight has ended."""

    timeout: Timeout = 600.0


class HoldPhase(Model):
    """Let things go on as they are for a while (a lag grow, say)."""

    duration: Annotated[Duration, Field(alias="for", ge=1)]
    expect: Literal["up", "commits-wait", "drift-repaired", "unhealthy"] | None = None
    """What must be seen: ``up`` when the time is over (every Deployment runs tasks), the others at some
    moment within it (then the phase ends)."""


class HealPhase(Model):
    """Take a region's faults back and wait until it follows the active one."""

    region: Literal["primary", "secondary"]
    timeout: Timeout = 600.0


class _FaultBase(Model):
    """Exactly one fault, by name."""

    @property
    def chosen(self) -> tuple[str, Any]:
        """The fault's name and its parameters."""
        for field, info in type(self).model_fields.items():
            if (value := getattr(self, field)) is not None:
                return str(info.alias or field), value
        raise AssertionError("validated to have one")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"name exactly one fault of: {', '.join(sorted(FAULTS))}")
        return self


_ONE_OF_EACH: Any = {
    fault.name.replace("-", "_"): (fault.parameters | None, None) for fault in FAULTS.values()}
FaultPhase: Any = create_model(
    "FaultPhase", __base__=_FaultBase, __doc__="Break something.", **_ONE_OF_EACH)


class Phase(Model):
    """One phase: a map with exactly one key, its kind."""

    load: LoadPhase | None = None
    fault: FaultPhase | None = None
    failover: FailoverPhase | None = None
    failback: FailoverPhase | None = None
    settle: SettlePhase | None = None
    heal: HealPhase | None = None
    hold: HoldPhase | None = None

    @model_validator(mode="before")
    @classmethod
    def _empty_means_default(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: {} if inner is None else inner for key, inner in value.items()}
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if len(self.model_fields_set) != 1:
            kinds = ", ".join(type(self).model_fields)
            raise ValueError(f"a phase has exactly one key, one of: {kinds}")
        return self

    @property
    def kind(self) -> str:
        """Which kind of phase this is."""
        return next(iter(self.model_fields_set))

    @property
    def spec(self) -> Any:
        """Its parameters."""
        return getattr(self, self.kind)


class RpoTargets(Model):
    """Loss windows that are still acceptable, by stream."""

    metadata: Duration | None = None
    task_logs: Duration | None = None
    images: Duration | None = None


class Targets(Model):
    """What the figures are held against.

    What holds of any drill need not be named: nothing corrupted, misplaced or phantom, no task that ran twice or
    against its retries, every Deployment up at the end.
    """

    rto: Duration | None = None
    rpo: RpoTargets = RpoTargets()
    split_brain_writes: Count | None = None
    tasks_lost: Count | None = None
    writes_lost: Count | None = None
    tasks_duplicated: Count | None = None
    """How many tasks may have more than one side effect; none where it is not named."""
    tasks_against_retries: Count | None = None
    """How many tasks may run again though their ``retries`` do not allow it; none where it is not named."""


class AbortWhen(Model):
    """When going on would prove nothing or do harm."""

    witness_unreachable: Annotated[Duration, Field(ge=1)] | None = None


class Drill(Model):
    """A whole drill file."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=lambda n: {"api_version": "apiVersion"}.get(
            n, _kebab(n)))

    api_version: Literal["dr-drill/v1"]
    kind: Literal["Drill"]
    metadata: Metadata
    environment: EnvironmentSpec = EnvironmentSpec()
    fleet: FleetSpec = FleetSpec()
    probes: ProbeSpec = ProbeSpec()
    orchestrator: OrchestratorSpec = OrchestratorSpec()
    phases: Annotated[tuple[Phase, ...], Field(min_length=1, max_length=PHASES_MOST)]
    targets: Targets = Targets()
    abort_when: AbortWhen = AbortWhen()


def json_schema() -> str:
    """The JSON Schema of a drill file."""
    schema = Drill.model_json_schema(by_alias=True)
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema},
                      indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(json_schema())
