"""The report's pictures, as SVG text: a timeline, what runs, the Deployments' recovery, the ledger around a fault."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping
from functools import partial

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from harness.measures.result import Recovery, Result, Run, Split, Transition
from reports import words

INK, QUIET, PALE = "#1f2933", "#5b7083", "#9aa5b1"
BLUE, ORANGE, GREEN, RED, VIOLET, TEAL = "#2f6fb3", "#a85c00", "#2d7a4b", "#b52f2f", "#7a5ea8", "#00707a"
PARTS = (("promotion_s", "until the new epoch", ORANGE), ("scheduler_s", "until a task is scheduled", BLUE),
         ("task_s", "until it has ended", GREEN), ("probe_s", "until a probe sees it", PALE))
"""The parts of a recovery, as :class:`~harness.measures.result.Split` has them."""
TRANSITION = "failover, failback"
PHASES = {"load": GREEN, "fault": RED, TRANSITION: ORANGE, "settle": BLUE, "heal": VIOLET, "hold": TEAL}
NARROW_SHARE, SHORTEST_SHARE, LABEL_SHARE = 0.06, 0.003, 0.09
"""Of the timeline's width: below the first a bar has no room for a name, below the second nobody would see it;
names of moments are no wider than the third."""
LABELS = 3
"""So many rows of names above the timeline, so that those of moments close together do not cover each other."""
MANY = 20
"""From so many Deployments on their bars stand closer together."""
plt.rcParams.update({
    "font.size": 9, "axes.edgecolor": PALE, "axes.labelcolor": INK, "text.color": INK,
    "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False,
    "svg.fonttype": "none", "font.family": "sans-serif", "svg.hashsalt": "dr-drill", "text.parse_math": False,
})


def timeline(result: Result) -> str:
    """Phases above, the orchestrator's steps below, the moments as lines; empty of a run without phases."""
    run = result.run
    if not run.phases:
        return ""
    figure, axes = plt.subplots(figsize=(10, 3.1))
    width = max(run.ended - run.started, 1.0)
    named: dict[str, Patch] = {}
    for phase in run.phases:
        since, until = phase.began - run.started, phase.ended - run.started
        kind = TRANSITION if phase.name in TRANSITION.split(", ") else phase.name
        colour = PHASES.get(kind, QUIET)
        # A name that does not fit into its bar would run into the next one.
        _bar(axes, 1.0, since, max(until, since + SHORTEST_SHARE * width),
             phase.name if until - since > NARROW_SHARE * width else "", colour)
        named.setdefault(kind, Patch(color=colour))
    for transition in result.transitions:
        for step in transition.steps:
            since = step.at - run.started
            _bar(axes, 0.0, since, since + max(step.seconds, SHORTEST_SHARE * width), "", ORANGE)
    moments = [moment for transition in result.transitions for moment in _moments(transition)]
    taken = [-width] * LABELS
    for at, label, colour in sorted(moments):
        place = at - run.started
        # The lowest row on which no name is near, or that of which the last name is farthest away.
        row = next((r for r, last in enumerate(taken) if place - last > LABEL_SHARE * width), taken.index(min(taken)))
        taken[row] = place
        top = 1.5 + 0.3 * row
        axes.plot([place, place], [-0.5, top - 0.06], color=colour, linewidth=1, linestyle="--")
        axes.text(place, top, label, color=colour, fontsize=8, ha="center")
    axes.set_yticks([0.0, 1.0], ["orchestrator's\nsteps", "phases"])
    axes.set_ylim(-0.5, 2.4)
    axes.legend(named.values(), named.keys(), loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=max(1, len(named)),
                frameon=False, fontsize=8)
    axes.set_xlabel("seconds since the start of the drill")
    return _svg(figure, "timeline")


def running_tasks(run: Run) -> str:
    """Task instances in state running over the whole run; empty where nobody counted them."""
    if not run.running.at:
        return ""
    figure, axes = plt.subplots(figsize=(10, 1.9))
    axes.plot(run.running.at, [math.nan if value is None else value for value in run.running.values],
              color=BLUE, linewidth=1.3)
    axes.axhline(run.concurrent_tasks_asked, color=QUIET, linewidth=0.9, linestyle=":")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("seconds since the start of the drill")
    axes.set_ylabel("tasks running")
    return _svg(figure, "running")


def restoration(recoveries: Mapping[str, Recovery], transition: Transition, name: str) -> str:
    """One bar a Deployment: its recovery by what the time went into, and its bounds; empty where nobody watched."""
    known = [(who, recovery) for who, recovery in recoveries.items() if recovery.rto is not None]
    if not known:
        return ""
    row, size = (0.26, 8) if len(known) < MANY else (0.15, 6.5)
    figure, axes = plt.subplots(figsize=(10, max(1.8, row * len(known) + 1.1)))
    places = range(len(known))
    left = [0.0] * len(known)
    for part, label, colour in PARTS:
        widths = [_part(recovery.split, part) for _, recovery in known]
        axes.barh(places, widths, left=left, color=colour, height=0.66, label=label)
        left = [at + width for at, width in zip(left, widths, strict=True)]
    for place, (_, recovery) in enumerate(known):
        if (rto := recovery.rto) is None:
            continue
        end = rto.low if rto.high is None else rto.high
        if recovery.restored:
            axes.errorbar([end], [place], xerr=[[end - rto.low], [0.0]], fmt="none", ecolor=INK, elinewidth=1,
                          capsize=2)
        else:
            axes.barh([place], [end], color=RED, height=0.66)
        if recovery.api is not None and recovery.api.high is not None and recovery.api.high <= end:
            axes.plot([recovery.api.high], [place], linestyle="none", marker="|", color=INK, markersize=9)
        shown = words.figure(rto)
        axes.annotate(shown if recovery.restored else f"never restored ({shown})", (end, place), (6, 0),
                      textcoords="offset points", va="center", fontsize=size)
    axes.set_yticks(places, [who for who, _ in known], fontsize=size)
    axes.set_ylim(len(known) - 0.3, -0.7)
    axes.set_xlabel(f"seconds from {_begin(transition)}")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(PARTS), frameon=False, fontsize=8)
    axes.margins(x=0.2)
    return _svg(figure, name)


def ledger(transition: Transition, name: str) -> str:
    """Acknowledged commits a second, by site, around the fault; what was lost in red. Empty where nobody counted."""
    if not transition.ledger:
        return ""
    figure, axes = plt.subplots(figsize=(10, 2.2))
    for (site, series), colour in zip(transition.ledger.items(), (BLUE, GREEN), strict=False):
        axes.step(series.at, [math.nan if value is None else value for value in series.values], where="post",
                  color=colour, label=site, linewidth=1.4)
    zero = transition.t_fault
    for at, _, colour in _moments(transition):
        axes.axvline(at - zero, color=colour, linewidth=1, linestyle="--")
    loss = transition.rpo.get("metadata")
    if loss is not None and loss.lost and loss.rpo is not None:
        axes.axvspan(-(loss.rpo.low if loss.rpo.high is None else loss.rpo.high), 0, color=RED, alpha=0.18,
                     label=f"acknowledged writes lost in here: {words.number(loss.lost)}")
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"seconds around {_begin(transition)}")
    axes.set_ylabel("commits a second")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, fontsize=8)
    return _svg(figure, name)


def _begin(transition: Transition) -> str:
    """What its figures count from."""
    return "the request" if transition.planned else "the fault"


def _moments(transition: Transition) -> list[tuple[float, str, str]]:
    """When, what, and its colour."""
    found = [(transition.t_fault, "request" if transition.planned else "fault", RED)]
    if transition.t_epoch is not None:
        found.append((transition.t_epoch, "new epoch", GREEN))
    return found


def _part(split: Split | None, part: str) -> float:
    """What a part of a recovery took; sites' clocks may make a short one seem to end before it began."""
    return 0.0 if split is None else max(0.0, float(getattr(split, part)))


def _bar(axes: Axes, row: float, start: float, end: float, label: str, colour: str) -> None:
    axes.barh(row, end - start, left=start, height=0.62, color=colour)
    if label:
        axes.text((start + end) / 2, row, label, ha="center", va="center", fontsize=8, color="white")


def _svg(figure: Figure, name: str) -> str:
    """The picture's SVG element, hidden from screen readers: its caption says what it shows.

    ``name``: is put before its identifiers, which would be those of the page's other pictures otherwise.
    """
    sink = io.StringIO()
    figure.tight_layout()
    figure.savefig(sink, format="svg", metadata={"Date": None})
    plt.close(figure)
    text = sink.getvalue()
    own = partial(re.compile(r'(\bid="|url\(#|href="#)').sub, rf"\g<1>{name}-")
    # In its tags only: a name may have the same characters.
    text = re.sub(r"<[^>]*>", lambda tag: own(tag[0]), text[text.index("<svg"):])
    return text.replace("<svg ", '<svg aria-hidden="true" ', 1)
