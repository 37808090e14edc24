"""Runs to tell stories about: whole, and without trouble unless a test makes some.

A run's Deployments have a ledger row and a task log acknowledged every second, numbered by the second; every second an
image is pushed. A fault comes at 100, the request is accepted at 101, the new epoch begins at 104.9, its first row is
acknowledged at 105, the fleet has settled at 140.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from harness.measures import Result, conservation, history
from harness.measures.history import History
from harness.testing import SITES, Facts, Story, held

TARGETS: dict[str, Any] = {
    "rto": 3600.0, "rpo": {"metadata": 300.0, "task-logs": 900.0, "images": 900.0}, "split-brain-writes": 0,
    "tasks-lost": 0}


def outage(*fleet: str, targets: dict[str, Any] = TARGETS, proves: Iterable[str] = (), since: int = 90,
           told: bool = True, **more: Any) -> Story:
    """A failover after an outage. ``since``: the first acknowledgement; ``told``: whether the database tells epochs."""
    story = Story()
    story.start(*(fleet or ("a",)), targets=targets, proves=list(proves), **more)
    reign(story, "west", since, 100)
    transition(story, 100, "west", "east", told=told)
    return story


def round_trip(**more: Any) -> Story:
    """A failover after an outage at 100, the region healed at 150, a planned failback at 200."""
    story = outage(**more)
    story.heal(150)
    reign(story, "east", 141, 200)
    transition(story, 200, "east", "west", planned=True)
    return story


def transition(story: Story, at: int, source: str, target: str, *, planned: bool = False, told: bool = True,
               deployments: list[str] | None = None) -> None:
    """A transition without trouble, from the fault (or, when planned, a second before the request) to the look."""
    if not planned:
        story.fault(at, role=SITES[source])
    story.request(at + 1, source, target, deployments=deployments)
    story.links.append({"t": at + 2, "event": "connect", "caller": "orchestrator", "site": SITES.get(target, target),
                        "service": "aws"})
    story.access.setdefault(SITES.get(source, source), []).append(
        {"t": at - 50, "caller": "127.5.20.1", "who": "workload", "service": "s3", "action": "PUT /", "status": "200"})
    if told:
        number = 2 + sum(event.kind == "epoch" for event in story.events)
        story.epoch(at + 4.9, target, number)
    story.complete(at + 6)
    for second in range(at + 1, at + 6, 2):
        for name in fleet_of(story):
            story.probe(second, name, ok=False)
    reign(story, target, at + 5, at + 40)
    story.settle(at + 40, everything(story), since=at + 6)


def reign(story: Story, site: str, since: int, until: int, *fleet: str) -> None:
    """What a site acknowledges, and what probes see of it, while it reigns; the first one runs a task."""
    if not any(told["e"] == "start" for told in story.witness):
        story.life("start", since, "calm", deployment=fleet_of(story)[0])
        story.life("effect", since + 0.5, "calm", deployment=fleet_of(story)[0])
    for at in range(since, until):
        for name in fleet or fleet_of(story):
            story.ack(at, at, region=site, deployment=name)
            story.log(at, f"{name}/{at}", region=site, deployment=name)
        story.image(at, f"image-{at}", region=site)
    story.probes(since + 2, until + 2, *(fleet or fleet_of(story)))


def fleet_of(story: Story) -> list[str]:
    """The Deployments of a story."""
    up = next(event for event in story.events if event.kind == "fleet.up")
    return [deployment["name"] for deployment in up.data["deployments"]]


def everything(story: Story, until: float = float("inf")) -> Facts:
    """What a look shows when nothing that was acknowledged is missing, and a task that ended well."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for told in story.witness:
        if told["e"] == "ack" and told["t"] <= until:
            fact = _fact(told)
            found[tuple(value for name, value in fact.items() if name not in ("c", "state", "retries"))] = fact
    return [*found.values(), *held(tasks={(fleet_of(story)[0], "wide", "run1", "calm", -1): ("success", 1, 2)})]


def _fact(told: dict[str, Any]) -> dict[str, Any]:
    """An acknowledged write as a look shows it."""
    where = {name: told.get(name) for name in ("d", "dag", "run", "task", "map", "key", "c") if name in told}
    if told["s"] == "ledger":
        return {"f": "row", "d": told["d"], "wr": told["wr"], "n": told["n"], "c": told["c"]}
    if told["s"] in ("task-logs", "images"):
        return {"f": "log" if told["s"] == "task-logs" else "image", "key": told["key"], "c": told["c"]}
    if told["k"] == "state":
        return {"f": "ti", **where, "state": "success", "try": told["n"], "retries": 2}
    if told["k"] == "dagrun":
        return {"f": "run", **where, "state": "success"}
    return {"f": "xcom", **where}


def forget(story: Story, look: str, gone: Callable[[dict[str, Any]], bool]) -> None:
    """Take facts away from a look."""
    story.snapshots[look] = [fact for fact in story.snapshots[look] if not gone(fact)]


def forget_rows(story: Story, look: str, numbers: Iterable[int], deployment: str | None = None) -> None:
    """Take ledger rows away from a look, by the second in which they were acknowledged."""
    chosen = set(numbers)
    forget(story, look, lambda fact: fact["f"] == "row" and fact["n"] in chosen and deployment in (None, fact["d"]))


def alter(story: Story, look: str, kind: str, **changes: Any) -> None:
    """Change the first fact of a kind in a look."""
    found = story.snapshots[look]
    index = next(i for i, fact in enumerate(found) if fact["f"] == kind)
    found[index] = found[index] | changes


def change(story: Story, kind: str, **fields: Any) -> None:
    """Change the fields of the events of a kind."""
    for event in story.events:
        if event.kind == kind:
            event.data.update(fields)


def drop(story: Story, *kinds: str) -> None:
    """Take events away."""
    story.events = [event for event in story.events if event.kind not in kinds]


def of(result: Result, name: str) -> str:
    """The verdict of a target, an expectation or a claim, by (the begin of) its name."""
    named = {j.name: j for j in (*result.targets, *result.expectations)}
    return next(str(c.verdict) for c in (*named.values(), *result.claims)
                if (c.name if hasattr(c, "name") else c.id).startswith(name))


def past(story: Story) -> History:
    """The history of a story, for measures that are asked one at a time."""
    return history.of(story.evidence())


def accounted(story: Story) -> History:
    """The same, with the tables of what became of every write."""
    found = past(story)
    conservation.account(found)
    return found
