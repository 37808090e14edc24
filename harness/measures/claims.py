"""Claims and the evidence for them: what a drill that names a claim has shown of it.

Each check is a function of the figures and the journal's own looks (``check`` events). A claim that
a drill names and that no check covers is INCONCLUSIVE, and says so: naming is not proving.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.durations import show_duration
from harness.evidence import Evidence
from harness.measures.figures import Figures
from harness.measures.interval import FAIL, INCONCLUSIVE, PASS, worst
from harness.measures.rpo import OBJECTS

Result = tuple[str, str]
RPO_S = {"metadata": 300.0, "task-logs": 900.0, "images": 900.0}
"""What is promised of each stream (XR-19, XR-06)."""
GUARD_S = 2.0
"""How late a guard that looks several times a second may stop commits."""


@dataclass(frozen=True)
class Proven:
    """A claim, what the drill has to say of it, and why."""

    id: str
    verdict: str
    evidence: str


def prove(claims: list[str], figures: Figures, evidence: Evidence) -> list[Proven]:
    """What the run says of each claim."""
    found = []
    for claim in claims:
        check = CHECKS.get(claim)
        outcome, why = check(figures, evidence) if check else (
            INCONCLUSIVE, "this drill has no check for the claim")
        found.append(Proven(claim, outcome, why))
    return found


def _looked(name: str) -> Callable[[Figures, Evidence], Result]:
    """A claim that the runner checked by looking (``check`` events of that name)."""

    def check(_: Figures, evidence: Evidence) -> Result:
        looks = [e for e in evidence.of("check") if e["name"] == name]
        if not looks:
            return INCONCLUSIVE, f"nobody looked ({name})"
        bad = [e for e in looks if not e["ok"]]
        return (FAIL, str(bad[0]["detail"])) if bad else (PASS, str(looks[-1]["detail"]))

    return check


def _every(count: Callable[..., int | None], text: str) -> Callable[[Figures, Evidence], Result]:
    """A count that must be zero in every transition."""

    def check(figures: Figures, _: Evidence) -> Result:
        values = [count(f) for f in figures.transitions]
        if not values or None in values:
            return INCONCLUSIVE, f"not measured: {text}"
        total = sum(v for v in values if v is not None)
        shown = f"{total} {text} over {len(values)} transition(s)"
        return (PASS if total == 0 else FAIL), shown

    return check


def _sequence(figures: Figures, _: Evidence) -> Result:
    wanted = ["provision-database-compute", "promote-database", "inflate", "move-dns"]
    for f in figures.transitions:
        names = [s["name"] for s in f.transition.steps if s["name"] in wanted]
        if names != wanted:
            return FAIL, f"{f.transition.kind}: steps ran as {', '.join(names) or 'none'}"
    if not figures.transitions:
        return INCONCLUSIVE, "no transition"
    return PASS, "steps ran in order: " + ", ".join(wanted)


def _switchover(figures: Figures, _: Evidence) -> Result:
    backs = [f for f in figures.transitions if f.transition.kind == "failback"]
    if not backs or any("metadata" not in f.losses for f in backs):
        return INCONCLUSIVE, "no failback was measured"
    lost = sum(f.losses["metadata"].lost for f in backs)
    acked = sum(f.losses["metadata"].acknowledged for f in backs)
    return (PASS if lost == 0 else FAIL), f"{lost} of {acked} acknowledged writes lost in failback"


def _curated(figures: Figures, evidence: Evidence) -> Result:
    """No Airflow in the standby, and where somebody started one by hand, it was taken away again."""
    empty = _looked("standby-empty")(figures, evidence)
    repaired = _looked("drift-repaired")(figures, evidence)
    drilled = any(e["fault"] == "manual-drift" for e in evidence.of("fault.outcome"))
    if empty[0] != PASS or not drilled:
        return empty
    return repaired


def _one_region(figures: Figures, evidence: Evidence) -> Result:
    """Nothing was heard from the inactive region, and where it has power no Airflow was found in it."""
    outcome, heard = _every(
        lambda f: f.split_brain.side_effects + f.split_brain.double_runs
        if f.transition.t_promoted else None, "signs of life from the inactive region")(figures, evidence)
    looks = [e for e in evidence.of("check") if e["name"] == "one-region"]
    if outcome != PASS or not looks:
        return outcome, heard
    found, seen = _looked("one-region")(figures, evidence)
    return found, f"{heard}; {seen}"


def _guarded(figures: Figures, evidence: Evidence) -> Result:
    """Commits waited once the standby was too far behind, so what was lost is within the bound."""
    waited, why = _looked("commits-wait")(figures, evidence)
    lost = [f.losses["metadata"].window.value + (f.stranded.window.value if f.stranded else 0.0)
            for f in figures.transitions if f.losses]
    bound = evidence.first("run.started")
    limit = bound.get("rpo_bound_s") if bound else None
    if waited != PASS or not lost or limit is None:
        return (FAIL, why) if waited == FAIL else (INCONCLUSIVE, f"{why}; nothing was lost or measured")
    most = max(lost)
    shown = f"commits waited ({why}); {most:.1f} s of writes were lost, the bound is {limit:.0f} s"
    return (PASS if most <= limit + GUARD_S else FAIL), shown


def _bounds(figures: Figures, _: Evidence) -> Result:
    if not figures.transitions:
        return INCONCLUSIVE, "no transition"
    outcomes, shown = [], []
    for f in figures.transitions:
        parts = [(f.recovery.fleet, 3600.0, "RTO")] + [
            (f.losses[stream].window if stream in f.losses else None, bound, f"RPO of {stream}")
            for stream, bound in RPO_S.items()]
        for figure, bound, name in parts:
            outcomes.append(INCONCLUSIVE if figure is None else figure.against(bound))
            if figure is not None:
                shown.append(f"{f.transition.kind} {name} {show_duration(figure.value)}")
    return worst(outcomes), "; ".join(shown)


def _logs(figures: Figures, evidence: Evidence) -> Result:
    measured = [(f.transition, f.losses[stream]) for f in figures.transitions
                for stream in OBJECTS if stream in f.losses]
    if not measured:
        return INCONCLUSIVE, "task logs and images were not looked at"
    outcomes = [loss.window.against(RPO_S[loss.stream]) for _, loss in measured]
    shown = "; ".join(f"{t.source} to {t.target}: {loss.acknowledged - loss.lost} of {loss.acknowledged} "
                      f"{loss.stream} there" for t, loss in measured)
    if evidence.of("heal.image"):
        image, why = _looked("image-carried")(figures, evidence)
        outcomes, shown = [*outcomes, image], f"{shown}; {why}"
    return worst(outcomes), shown


def _retries(figures: Figures, _: Evidence) -> Result:
    measured = [f.tasks for f in figures.transitions if f.tasks is not None]
    if not measured:
        return INCONCLUSIVE, "tasks were not followed"
    flying = sum(t.in_flight for t in measured)
    if not flying:
        return INCONCLUSIVE, "no task was in flight at any fault"
    counts = {name: sum(t.counts[name] for t in measured) for name in measured[0].counts}
    shown = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    return (PASS if counts["stuck"] == 0 else FAIL), f"of {flying} in flight: {shown}"


CHECKS: dict[str, Callable[[Figures, Evidence], Result]] = {
    "XR-01": _looked("one-cluster"),
    "XR-03": _guarded,
    "XR-02": _looked("identity"),
    "XR-04": _looked("headless"),
    "XR-05": _every(lambda f: f.split_brain.database_writes if f.transition.t_promoted else None,
                    "database writes acknowledged by the older epoch"),
    "XR-06": _logs,
    "XR-07": _curated,
    "XR-08": _one_region,
    "XR-09": _every(lambda f: f.audit.iam_writes if f.audit else None, "IAM writes"),
    "XR-10": _every(lambda f: f.audit.left_region if f.audit else None,
                    "calls into the region left"),
    "XR-11": _looked("variants"),
    "XR-12": _sequence,
    "XR-13": _switchover,
    "XR-14": _looked("reverse-replication"),
    "XR-15": _looked("flag"),
    "XR-16": _looked("observed"),
    "XR-17": _looked("unhealthy"),
    "XR-19": _bounds,
    "XR-20": _looked("carried-over"),
    "XR-21": _looked("manual-work"),
    "XR-22": _retries,
}
