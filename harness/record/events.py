"""The events of a run, one class a kind: the only place that says what a record may hold.

An event is written by making one of these and handing it to :meth:`~harness.record.journal.Journal.append`,
and read back as the same class by :func:`parse`. The three stamps (number, monotonic and wall-clock time)
are the journal's. Times named ``at``, ``began``, ``asked`` and the like are wall-clock seconds; spans
end in ``_s`` or are named ``seconds``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from types import UnionType
from typing import Any, ClassVar, TypeVar, get_args, get_origin, get_type_hints

STAMPS = ("record", "monotonic", "wall")
WORDS = frozenset({"reason", "trace", "error", "detail", "missing"})
"""The fields of any event that hold a message for people, in words of anybody's."""


class UnreadableEvent(Exception):
    """A record of a kind that this version does not know, or one that lacks what its kind must hold."""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """Base of all events."""

    KIND: ClassVar[str] = ""
    record: int = 0
    """Its number in the journal, from 1."""
    monotonic: float = 0.0
    """Seconds on the monotonic clock of the machine that the harness ran on."""
    wall: float = 0.0
    """Seconds since the epoch on the wall clock of the same machine."""

    def fields(self) -> dict[str, Any]:
        """What the event holds besides its stamps; what is None is left out."""
        return {name: value for name, value in vars(self).items()
                if name not in STAMPS and value is not None}


R = TypeVar("R", bound=Recorded)
KINDS: dict[str, type[Recorded]] = {}


def _kind(name: str) -> Any:
    """Register a class under the kind that its records carry."""

    def register(chosen: type[R]) -> type[R]:
        chosen.KIND = name
        KINDS[name] = chosen
        return chosen

    return register


def parse(kind: str, data: Mapping[str, Any], record: int, monotonic: float, wall: float) -> Recorded:
    """The event that a record holds.

    Raises:
        UnreadableEvent: when the kind is unknown, a field that it must hold is missing, or one is of another type.
    """
    chosen = KINDS.get(kind)
    if chosen is None:
        raise UnreadableEvent(f"record {record} is of a kind that this version does not know: {kind}")
    types = {name: kind for name, kind in _types(chosen).items() if name not in STAMPS}
    given = {name: value for name, value in data.items() if name in types}
    if wrong := [name for name, value in given.items() if not _fits(value, types[name])]:
        raise UnreadableEvent(f"record {record} ({kind}) is not whole: {', '.join(wrong)} cannot be read")
    try:
        return chosen(record=record, monotonic=monotonic, wall=wall, **given)
    except TypeError as error:
        raise UnreadableEvent(f"record {record} ({kind}) is not whole: {error}") from error


def _types(chosen: type[Recorded]) -> dict[str, Any]:
    """The fields of an event and their types."""
    hints = get_type_hints(chosen)
    return {f.name: hints[f.name] for f in dataclasses.fields(chosen)}


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value read from JSON is of a type."""
    parts = get_args(kind)
    if get_origin(kind) is UnionType:
        return any(_fits(value, each) for each in parts)
    if get_origin(kind) is list:
        return isinstance(value, list) and all(_fits(each, parts[0]) for each in value)
    if get_origin(kind) is dict:
        return isinstance(value, dict) and all(_fits(each, parts[1]) for each in value.values())
    if kind in (int, float):  # whatever is compared with a time that is none is true or false by accident
        return isinstance(value, (int, kind)) and not isinstance(value, bool) and -inf < value < inf
    return kind is Any or isinstance(value, kind)


# -- the run -------------------------------------------------------------------------------


@_kind("run.started")
@dataclass(frozen=True, kw_only=True)
class RunStarted(Recorded):
    """A drill begins: what it is, where, with what."""

    run_id: str = ""
    drill: dict[str, str] = field(default_factory=dict)
    """``name``, ``title``, ``sha256`` and ``file`` of the drill file."""
    text: str = ""
    """The drill file as it was, but for the values of variables that may be secret (``sha256`` is that of the file)."""
    seed: int = 0
    proves: list[str] = field(default_factory=list)
    targets: dict[str, Any] = field(default_factory=dict)
    """As in the drill file, durations in seconds."""
    phases: list[str] = field(default_factory=list)
    """The kinds of the phases, in their order, the final settling included."""
    observed: list[str] = field(default_factory=list)
    """The tables that this environment promised to leave as evidence."""
    concurrent_tasks: int = 0
    probe_interval_s: float = 0.0
    canary_interval_s: float = 0.0
    beat_interval_s: float = 0.0
    """How often a site's client says to the witness that it lives; 0 where none does."""
    versions: dict[str, str] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    environment: str = ""
    rpo_bound_s: float | None = None


@_kind("environment.intent")
@dataclass(frozen=True, kw_only=True)
class EnvironmentIntent(Recorded):
    """An environment is about to be made; how to take it away again."""

    identifier: str
    directory: str
    undo: dict[str, Any] = field(default_factory=dict)


@_kind("environment.up")
@dataclass(frozen=True, kw_only=True)
class EnvironmentUp(Recorded):
    """The environment serves."""

    simulated: list[str] = field(default_factory=list)
    runs_as: str = ""
    """Whose its processes are."""
    seconds: float = 0.0


@_kind("fleet.up")
@dataclass(frozen=True, kw_only=True)
class FleetUp(Recorded):
    """Every Deployment is up."""

    deployments: list[dict[str, Any]] = field(default_factory=list)
    roles: dict[str, str] = field(default_factory=dict)
    """Region name to role."""
    addresses: dict[str, str] = field(default_factory=dict)
    """The address at which users reach a region, to its name; empty where nobody knows."""
    active: str = ""
    """The region in which Airflow runs."""
    settings: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


@_kind("load.started")
@dataclass(frozen=True, kw_only=True)
class LoadStarted(Recorded):
    """The load users begin."""

    asked: int = 0


@_kind("load.reached")
@dataclass(frozen=True, kw_only=True)
class LoadReached(Recorded):
    """The asked number of task instances runs at once."""

    running: int = 0


@_kind("load.at-fault")
@dataclass(frozen=True, kw_only=True)
class LoadAtFault(Recorded):
    """How many task instances ran immediately before a fault, counted in the databases."""

    running: int = 0


@_kind("load.stopped")
@dataclass(frozen=True, kw_only=True)
class LoadStopped(Recorded):
    """No user starts anything any more: what runs comes to its end."""


@_kind("run.aborted")
@dataclass(frozen=True, kw_only=True)
class RunAborted(Recorded):
    """Somebody stopped the drill."""

    reason: str = ""


@_kind("run.broken")
@dataclass(frozen=True, kw_only=True)
class RunBroken(Recorded):
    """The environment or the harness failed."""

    reason: str = ""
    trace: str | None = None


@_kind("cleanup.intent")
@dataclass(frozen=True, kw_only=True)
class CleanupIntent(Recorded):
    """The environment is about to be removed."""


@_kind("cleanup")
@dataclass(frozen=True, kw_only=True)
class Cleanup(Recorded):
    """What became of the environment: ``done``, ``failed`` or ``kept``."""

    outcome: str = ""
    processes_left: list[int] = field(default_factory=list)
    error: str | None = None
    by: str | None = None


@_kind("run.ended")
@dataclass(frozen=True, kw_only=True)
class RunEnded(Recorded):
    """The last record of a whole journal."""


# -- phases --------------------------------------------------------------------------------


@_kind("phase.started")
@dataclass(frozen=True, kw_only=True)
class PhaseStarted(Recorded):
    """A phase begins."""

    index: int = 0
    phase: str = ""


@_kind("phase.ended")
@dataclass(frozen=True, kw_only=True)
class PhaseEnded(Recorded):
    """A phase came to its end."""

    index: int = 0
    phase: str = ""
    seconds: float = 0.0


@_kind("check")
@dataclass(frozen=True, kw_only=True)
class Check(Recorded):
    """Something was looked at: whether it is so, and what was seen."""

    name: str
    ok: bool
    detail: str = ""


@_kind("failure")
@dataclass(frozen=True, kw_only=True)
class Failure(Recorded):
    """A phase ended in a way that fails the drill."""

    reason: str = ""


@_kind("gap")
@dataclass(frozen=True, kw_only=True)
class Gap(Recorded):
    """Something that could not be observed, and what it was."""

    reason: str = ""


@_kind("teardown.error")
@dataclass(frozen=True, kw_only=True)
class TeardownError(Recorded):
    """A step of the teardown failed."""

    what: str = ""
    error: str = ""


# -- faults --------------------------------------------------------------------------------


@_kind("fault.intent")
@dataclass(frozen=True, kw_only=True)
class FaultIntent(Recorded):
    """Something is about to be broken, and how to take it back."""

    fault: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    undo: dict[str, Any] = field(default_factory=dict)


@_kind("fault.outcome")
@dataclass(frozen=True, kw_only=True)
class FaultOutcome(Recorded):
    """Something is broken: asked for at ``asked``, seen to be in force at ``in_force``."""

    fault: str = ""
    disrupts: bool = False
    in_force: float
    asked: float | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    undo: dict[str, Any] = field(default_factory=dict)
    seen: dict[str, Any] = field(default_factory=dict)


@_kind("undo.intent")
@dataclass(frozen=True, kw_only=True)
class UndoIntent(Recorded):
    """Something is about to be taken back."""

    undo: dict[str, Any] = field(default_factory=dict)


@_kind("undo.outcome")
@dataclass(frozen=True, kw_only=True)
class UndoOutcome(Recorded):
    """Something was taken back."""

    undo: dict[str, Any] = field(default_factory=dict)
    seen: dict[str, Any] = field(default_factory=dict)


@_kind("heal.image")
@dataclass(frozen=True, kw_only=True)
class HealImage(Recorded):
    """An image that was pushed while the other region was away."""

    key: str = ""


# -- transitions ---------------------------------------------------------------------------


@_kind("trigger.intent")
@dataclass(frozen=True, kw_only=True)
class TriggerIntent(Recorded):
    """The orchestrator is about to be asked for a transition."""

    kind: str = ""
    planned: bool | None = None


@_kind("trigger.accepted")
@dataclass(frozen=True, kw_only=True)
class TriggerAccepted(Recorded):
    """The orchestrator has accepted a request (the harness heard so at ``at``)."""

    kind: str = ""
    at: float
    source: str
    target: str
    planned: bool | None = None
    """None: told by whether a fault came before."""
    deployments: list[str] | None = None
    """Which Deployments move; None: all."""


@_kind("transition.completed")
@dataclass(frozen=True, kw_only=True)
class TransitionCompleted(Recorded):
    """The harness sees that the orchestrator has finished; ``at`` is when the orchestrator says that it had."""

    kind: str = ""
    at: float
    steps: list[dict[str, Any]] = field(default_factory=list)
    deployments: list[str] | None = None
    """Those that moved, where several transitions are under way; None: those of the last request."""


@_kind("orchestrator.crashes")
@dataclass(frozen=True, kw_only=True)
class OrchestratorCrashes(Recorded):
    """The points at which the orchestrator has died so far."""

    points: list[str] = field(default_factory=list)


@_kind("settle.timeout")
@dataclass(frozen=True, kw_only=True)
class SettleTimeout(Recorded):
    """The fleet did not settle in time; ``missing`` says what was waited for."""

    seconds: float = 0.0
    missing: str = ""


@_kind("looked")
@dataclass(frozen=True, kw_only=True)
class Looked(Recorded):
    """The databases and buckets of the active region were read into the table ``held``."""

    snapshot: str
    site: str = ""
    began: float
    ended: float


@_kind("settled")
@dataclass(frozen=True, kw_only=True)
class Settled(Recorded):
    """The end of a settle phase."""

    snapshot: str | None = None
    since: float = 0.0


@_kind("epoch")
@dataclass(frozen=True, kw_only=True)
class EpochBegan(Recorded):
    """A reign of one writer began, by the database's own word."""

    deployment: str | None = None
    """None: every Deployment's metadata, which one server holds."""
    number: int
    site: str
    began: float
    error: float = 0.0
    source: str = ""


# -- evidence ------------------------------------------------------------------------------


@_kind("evidence")
@dataclass(frozen=True, kw_only=True)
class EvidenceStored(Recorded):
    """An evidence file was stored: its table, rows and hash."""

    file: str
    table: str
    sha256: str
    bytes: int = 0
    rows: int = 0
    unreadable: int = 0
    """Lines of what it was made from that could not be read."""


@_kind("probe")
@dataclass(frozen=True, kw_only=True)
class Probe(Recorded):
    """One open-loop probe of a Deployment, as the prober told it."""

    d: str
    sent: float
    ms: float = 0.0
    late_ms: float = 0.0
    outcome: str = ""
    error: str | None = None
    address: str | None = None
    canary: dict[str, Any] | None = None


@_kind("sample")
@dataclass(frozen=True, kw_only=True)
class Sample(Recorded):
    """One look at how much runs and how far the standby is behind."""

    states: dict[str, int] = field(default_factory=dict)
    answered: int = 0
    lag: dict[str, Any] | None = None
    witness: dict[str, Any] | None = None
