"""The result of a run: one typed value, made by :func:`harness.measures.evaluate`.

Everything that a report shows is in here; renderers look nothing up and decide nothing. Times are
wall-clock seconds since the epoch, spans are seconds, sizes are bytes unless a name says otherwise. Its JSON
Schema is ``reports/result.schema.json`` (``python -m harness.measures.result`` writes it).
"""

from __future__ import annotations

import json
from enum import IntEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from harness.measures.interval import Interval, Verdict

SCHEMA = "dr-drill/result/v2"
SCHEMA_FILE = Path(__file__).resolve().parents[2] / "reports" / "result.schema.json"


class ExitCode(IntEnum):
    """What the ``drill`` command ends with."""

    PASS = 0
    FAIL = 1
    """A target or an expectation was missed."""
    BAD_INPUT = 2
    """Bad usage or a bad drill file; nothing was started."""
    INCONCLUSIVE = 3
    BROKEN = 4
    """The environment, the harness or a checker failed, or the record is not whole."""
    NOT_CLEANED_UP = 5
    """Passed, but something was left behind."""
    ABORTED = 130


class Part(BaseModel):
    """Base of everything in a result."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Judgement(Part):
    """A target or an expectation, and what was observed."""

    name: str
    asked: str
    """What was asked for, in words: ``at most 5 min``."""
    observed: str
    low: float | None = None
    high: float | None = None
    """The figure; both None where it was not measured, ``high`` None where it has no upper bound."""
    verdict: Verdict
    allowed: bool = False
    """Whether the drill file allows what would otherwise fail it."""


class Claim(Part):
    """A claim that the drill says it proves, and what the run has shown of it."""

    id: str
    text: str
    verdict: Verdict
    evidence: str
    source: str
    """What the evidence is: ``observed``, ``the orchestrator's own word``, or in part this and in part that."""


class Count(Part):
    """How many, at least and at most, and some of them."""

    low: int
    high: int | None
    """None: nobody knows how many more."""
    examples: list[str] = []

    @property
    def interval(self) -> Interval:
        """The count as a figure."""
        return Interval(low=self.low, high=self.high)


class Loss(Part):
    """What one stream lost in one transition, of one Deployment or of all."""

    acknowledged: int
    """Writes that the region which was left had acknowledged before the fault, in its last reign, and whatever
    was lost of earlier ones."""
    lost: int
    """Those that were not there when the fleet had settled."""
    recovered_later: int
    """Those of them that were there at the end of the run."""
    rpo: Interval | None
    """None: nothing was acknowledged, so nothing is known."""
    stranded: int = 0
    """Writes that the old writer acknowledged after the fault, and that the new one never had."""
    stranded_s: float = 0.0
    """From the fault to the last of them."""
    parts: dict[str, int] = {}
    """Lost writes by part of the stream (``ledger``, ``state``, ``xcom``, ``dagrun``)."""
    examples: list[str] = []


class Split(Part):
    """Where the time of one Deployment's recovery went; the parts add up to when it was seen."""

    promotion_s: float
    """From the fault to the new epoch."""
    scheduler_s: float
    """From there until a scheduler scheduled the canary."""
    task_s: float
    """From there until the canary's end."""
    probe_s: float
    """From there until a probe saw it."""


class Recovery(Part):
    """How one Deployment came back in one transition."""

    rto: Interval | None
    """None: its probes stopped, so nobody knows."""
    restored: bool
    api: Interval | None
    """Until its REST API answered every probe again: a figure of its own."""
    split: Split | None = None


class Tasks(Part):
    """What became of the task instances that a transition met."""

    met: int
    """Those that existed at the fault, or began before the fleet had settled."""
    in_flight: int
    """Those of them that had started and not ended at the fault."""
    survived: int
    retried: int
    lost: int
    stuck: int
    duplicated: int
    against_retries: int
    """Run more often than their own ``retries`` allow."""
    examples: dict[str, list[str]] = {}


class SplitBrain(Part):
    """What a site did that the epoch in force gave to another."""

    database_writes: Count
    side_effects: Count
    starts: Count
    objects: Count

    @property
    def total(self) -> Interval:
        """All kinds together."""
        found = self.database_writes.interval
        for count in (self.side_effects, self.starts, self.objects):
            found = found + count.interval
        return found


class Audit(Part):
    """Whom anybody called during a transition."""

    calls: int
    by_site: dict[str, int]
    left_site: int | None
    """Calls into the site that is left, by whatever way; None: its servers left no log, and none was seen elsewhere."""
    iam_writes: int | None
    """None: the global services left no access log."""
    other_global_writes: int | None
    examples: list[str] = []


class Exposure(Part):
    """The replication lag before a transition: what other moments would have cost."""

    samples: int
    p50_s: float | None
    p99_s: float | None
    max_s: float | None
    max_bytes: int | None


class Throughput(Part):
    """Task instances that ended with success, a second."""

    before: float | None
    after: float | None


class Step(Part):
    """A step of the orchestrator's sequence, by its own word."""

    name: str
    at: float
    seconds: float
    attempts: int = 1


class Series(Part):
    """Numbers over time for a picture: seconds from some zero, and values."""

    at: list[float]
    values: list[float | None]


class Transition(Part):
    """Everything measured of one transition of the fleet."""

    kind: str
    source: str
    target: str
    planned: bool
    deployments: list[str]
    """Those that move."""
    t_fault: float
    t_fault_error_s: float
    """Between asking for the fault and seeing it in force."""
    t_request: float
    t_epoch: float | None
    """When the last Deployment's new epoch began; None: one has none."""
    t_epoch_error_s: float | None
    t_completed: float | None
    """When the orchestrator says that it had finished."""
    t_settled: float | None
    rto: Interval | None
    """Of the fleet: its slowest Deployment."""
    rto_p50: Interval | None
    rto_p95: Interval | None
    never_restored: list[str]
    rpo: dict[str, Loss]
    """By stream, over all Deployments; empty where nobody looked into the databases."""
    split_brain: SplitBrain
    tasks: Tasks | None
    audit: Audit | None
    exposure: Exposure
    throughput: Throughput
    steps: list[Step]
    ledger: dict[str, Series]
    """Commits a second around the fault, by region."""


class Fates(Part):
    """What became of the writes of one stream that were acknowledged in the whole run."""

    acknowledged: int
    held: int
    lost: int
    recovered_later: int
    corrupted: int
    misplaced: int
    duplicated: int
    phantom: int
    """There, and never attempted."""
    unjudged: int
    """Acknowledged after the last look."""
    unknown: int
    """Attempted, with no answer."""
    unknown_held: int
    examples: dict[str, list[str]] = {}


class Difference(Part):
    """One item of a Deployment's fingerprint that is not what it was."""

    deployment: str
    kind: str
    item: str
    change: str
    """``missing``, ``changed`` or ``added``."""
    look: str


class Fingerprint(Part):
    """What the Deployments were made of before a transition, compared with what they are after it."""

    looks: int
    items: int
    """Compared in all."""
    differences: list[Difference]
    """At most a hundred."""
    missing: int
    changed: int


class Epoch(Part):
    """A reign of one writer of one Deployment's metadata."""

    number: int
    site: str
    began: float | None
    """None: before the drill began to look."""
    error_s: float
    inferred: bool
    """Whether it was told by what the new site did, not by the database itself."""
    transition: int | None
    """Index of the transition that brought it about; None: it was there before, or nobody had asked for it."""


class Deployment(Part):
    """The result of one Deployment."""

    name: str
    verdict: Verdict
    reasons: list[str]
    up_at_end: bool | None
    """None: its probes had stopped."""
    epochs: list[Epoch]
    recoveries: list[Recovery]
    """One a transition, in their order; of one that does not move it, nothing."""
    losses: list[dict[str, Loss]]
    """The same by stream."""
    fates: dict[str, Fates]
    tasks_lost: int
    tasks_stuck: int
    tasks_duplicated: int
    tasks_against_retries: int
    split_brain_writes: Interval


class Clock(Part):
    """How far a site's clock is from the witness's."""

    site: str
    offset_s: float | None
    """The site's clock less the witness's, as far as the fastest record tells; None: nothing was heard."""


class Planted(Part):
    """One violation that was planted in a copy of the run's evidence, and whether it was found."""

    violation: str
    measure: str
    found: bool


class Proof(Part):
    """The proof that the measures would have seen what they did not report."""

    planted: list[Planted]


class Resources(Part):
    """The cost of a run."""

    cpu_s: dict[str, dict[str, float]] = {}
    """CPU seconds by group and part."""
    memory_peak_mib: float | None = None
    memory_by_group_mib: dict[str, float] = {}
    harness_share: float | None = None
    held_seconds: float | None = None
    """How long the load was held at its full size between two readings."""
    held_cores: float | None = None
    held_tasks: int | None = None
    cpu_s_per_task: float | None = None


class Phase(Part):
    """A phase of the drill, or what came before and after them."""

    name: str
    began: float
    ended: float


class Run(Part):
    """What was run, where and with what."""

    id: str
    drill: str
    title: str
    file: str
    sha256: str
    seed: int
    started: float
    ended: float
    environment: str
    machine: dict[str, Any]
    versions: dict[str, str]
    simulated: list[str]
    settings: dict[str, str]
    deployments: int
    concurrent_tasks_asked: int
    concurrent_tasks_at_fault: int | None
    probe_interval_s: float
    canary_interval_s: float
    lateness_p99_ms: float | None
    phases: list[Phase]
    running: Series
    """Task instances in state running over the run; None where the databases did not answer."""
    format: int
    """Of the record that the result was made from."""


class Result(Part):
    """The whole result of a run."""

    schema_name: str = Field(default=SCHEMA, serialization_alias="schema")
    verdict: Verdict
    exit_code: ExitCode
    reasons: list[str]
    """Why it is not a pass; empty when it is."""
    gaps: list[str]
    """What could not be observed."""
    cleanup: str
    """The clean-up's own verdict: ``done``, ``failed``, ``kept`` or ``not done``."""
    aborted: bool
    broken: bool
    run: Run
    targets: list[Judgement]
    expectations: list[Judgement]
    """What holds without being named."""
    claims: list[Claim]
    transitions: list[Transition]
    fates: dict[str, Fates]
    """Every acknowledged write of the run, by stream."""
    split_brain: SplitBrain
    """Over the whole run."""
    tasks: Tasks | None
    """Over the whole run."""
    fingerprint: Fingerprint
    deployments: list[Deployment]
    clocks: list[Clock]
    resources: Resources
    proof: Proof | None


def as_json(result: Result) -> str:
    """The result as JSON text; an infinite bound is null."""
    return result.model_dump_json(indent=2, by_alias=True) + "\n"


def json_schema() -> str:
    """The JSON Schema of a result."""
    schema = Result.model_json_schema(mode="serialization", by_alias=True)
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(json_schema())
