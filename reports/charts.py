"""The report's pictures, as SVG text: a timeline, the Deployments' RTO, the ledger around a fault."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from harness.evidence import Evidence

INK, QUIET = "#1f2933", "#9aa5b1"
BLUE, ORANGE, GREEN, RED = "#2f6fb3", "#d9822b", "#3a8f5c", "#c23b3b"
PARTS = (("promotion", "until the promotion", ORANGE), ("scheduler", "until a task is scheduled", BLUE),
         ("task", "until it has ended", GREEN), ("probe", "until a probe sees it", QUIET))
PHASE_COLOURS = {"load": GREEN, "fault": RED, "failover": ORANGE, "failback": ORANGE,
                 "settle": BLUE, "heal": "#7a5ea8", "hold": "#5b7083"}
NARROW_SHARE = 0.06
plt.rcParams.update({
    "font.size": 9, "axes.edgecolor": QUIET, "axes.labelcolor": INK, "text.color": INK,
    "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False,
    "svg.fonttype": "none", "font.family": "sans-serif", "svg.hashsalt": "dr-drill",
})


def timeline(evidence: Evidence, report: dict[str, Any]) -> str:
    """Phases above, the orchestrator's steps below, the moments as lines. Seconds since the start."""
    zero = evidence.events[0].wall
    figure, axes = plt.subplots(figsize=(10, 2.9))
    # A name that does not fit into its bar would run into the next one.
    narrow = NARROW_SHARE * (evidence.events[-1].wall - zero)

    def phase(start: float, end: float, name: str) -> None:
        _bar(axes, 1.0, start, end, name if end - start > narrow else "", PHASE_COLOURS.get(name, QUIET))
        named.setdefault("failover, failback" if name in ("failover", "failback") else name,
                         Patch(color=PHASE_COLOURS.get(name, QUIET), alpha=0.85))

    named: dict[str, Patch] = {}
    open_phase: Any = None
    for event in evidence.events:
        if event.kind == "phase.started":
            open_phase = event
        elif open_phase is not None and event.kind in ("phase.ended", "cleanup.intent"):
            phase(open_phase.wall - zero, event.wall - zero, open_phase["phase"])
            open_phase = None
    fleet_up = evidence.first("fleet.up")
    if fleet_up:
        phase(0, fleet_up.wall - zero, "bring up")
    for transition in report["transitions"]:
        for step in transition["steps"]:
            at = _seconds(step["at"]) - zero
            _bar(axes, 0.0, at, at + max(step["seconds"], 0.3), "", ORANGE)
        for name, label, colour in (("t_fault", "fault", RED), ("t_promoted", "promoted", GREEN)):
            if transition[name]:
                at = _seconds(transition[name]) - zero
                axes.axvline(at, color=colour, linewidth=1, linestyle="--")
                axes.text(at, 1.72, label, color=colour, fontsize=8,
                          ha="right" if name == "t_fault" else "left")
    axes.set_yticks([0.0, 1.0], ["orchestrator's\nsteps", "phases"])
    axes.set_ylim(-0.5, 2.0)
    axes.legend(named.values(), named.keys(), loc="lower center", bbox_to_anchor=(0.5, 1.0),
                ncols=len(named), frameon=False, fontsize=8)
    axes.set_xlabel("seconds since the start of the drill")
    return _svg(figure)


def restoration(transition: dict[str, Any]) -> str:
    """One bar a Deployment: its RTO, by what the time went into; a mark where its API answered."""
    deployments = transition["rto"]["deployments"]
    names = sorted(deployments)
    row = 0.26 if len(names) < 20 else 0.19
    figure, axes = plt.subplots(figsize=(10, max(1.8, row * len(names) + 1.1)))
    values = [deployments[n]["rto_s"] for n in names]
    lost = [0.0 if deployments[n]["restored"] else deployments[n]["rto_s"] for n in names]
    axes.barh(names, lost, color=RED, height=0.66)
    left = [0.0] * len(names)
    for part, label, colour in PARTS:
        widths = [max(0.0, (deployments[n]["split_s"] or {}).get(part, 0.0)) for n in names]
        axes.barh(names, widths, left=left, color=colour, height=0.66, label=label)
        left = [at + width for at, width in zip(left, widths, strict=True)]
    axes.errorbar(values, range(len(names)), xerr=transition["rto"]["error_s"] or 0, fmt="none",
                  ecolor=QUIET)
    api = [min(deployments[n]["api_s"], deployments[n]["rto_s"]) for n in names]
    axes.plot(api, range(len(names)), linestyle="none", marker="|", color=INK, markersize=9)
    for index, name in enumerate(names):
        shown = f"{values[index]:.1f} s" if deployments[name]["restored"] else "never restored"
        end = values[index] + (transition["rto"]["error_s"] or 0)
        axes.text(end, index, f"  {shown}", va="center", fontsize=8)
    axes.set_ylim(len(names) - 0.3, -0.7)
    axes.set_xlabel("seconds from the fault to the first task scheduled and succeeded by the new "
                    "writer (mark: when the API answered every probe again)")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(PARTS), frameon=False,
                fontsize=8)
    axes.margins(x=0.12)
    return _svg(figure)


def ledger(evidence: Evidence, transition: dict[str, Any]) -> str:
    """Acknowledged commits a second, by region, around t_fault; what was lost in red."""
    t_fault = _seconds(transition["t_fault"])
    loss = (transition["rpo"] or {}).get("metadata")
    before = max(20.0, 1.1 * loss["window_s"] if loss else 0.0)
    after = min(90.0, _seconds(transition["t_settled"]) - t_fault)
    figure, axes = plt.subplots(figsize=(10, 2.2))
    for region, colour in ((transition["from"], BLUE), (transition["to"], GREEN)):
        counts = {row["second"]: row["commits"] for row in evidence.tables.rows("""
            select floor(t - $zero)::integer as second, count(*) as commits from witness
            where e = 'ack' and s = 'ledger' and r = $region and t between $first and $final
            group by 1""", zero=t_fault, region=region, first=t_fault - before,
            final=t_fault + after)}
        seconds = list(range(int(-before), int(after)))
        axes.step(seconds, [counts.get(s, 0) for s in seconds], where="post", color=colour,
                  label=region, linewidth=1.4)
    axes.axvline(0, color=RED, linewidth=1, linestyle="--")
    if transition["t_promoted"]:
        axes.axvline(_seconds(transition["t_promoted"]) - t_fault, color=GREEN, linewidth=1,
                     linestyle="--")
    if loss and loss["lost"]:
        axes.axvspan(-loss["window_s"], 0, color=RED, alpha=0.18,
                     label=f"{loss['lost']} acknowledged writes lost in here")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("seconds around the fault")
    axes.set_ylabel("commits a second")
    axes.legend(loc="upper right", frameon=False, fontsize=8)
    return _svg(figure)


def running_tasks(evidence: Evidence) -> str:
    """Task instances in state running, as the observer counted them, over the whole run."""
    zero = evidence.events[0].wall
    samples = evidence.tables.rows("select t, answered, running from samples order by n")
    figure, axes = plt.subplots(figsize=(10, 1.9))
    axes.plot([s["t"] - zero for s in samples],
              [s["running"] if s["answered"] else float("nan") for s in samples],
              color=BLUE, linewidth=1.3)
    started = evidence.first("run.started")
    if started:
        axes.axhline(started["concurrent_tasks"], color=QUIET, linewidth=0.9, linestyle=":")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("seconds since the start of the drill (a gap: the databases did not answer)")
    axes.set_ylabel("tasks running")
    return _svg(figure)


def _bar(axes: Axes, row: float, start: float, end: float, label: str, colour: str) -> None:
    axes.barh(row, end - start, left=start, height=0.62, color=colour, alpha=0.85)
    if label:
        axes.text((start + end) / 2, row, label, ha="center", va="center", fontsize=8,
                  color="white")


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).astimezone(UTC).timestamp()


def _svg(figure: Figure) -> str:
    sink = io.StringIO()
    figure.tight_layout()
    figure.savefig(sink, format="svg", metadata={"Date": None})
    plt.close(figure)
    text = sink.getvalue()
    return text[text.index("<svg"):]
