"""Runs whose pages are looked at."""

from __future__ import annotations

import pytest

from harness.measures import Result
from harness.testing import Story, fact
from tests.harness.measures.runs import TARGETS, everything, forget_rows, reign, transition

FLEET = ("team-00", "team-01", "team-02")
PHASES = (("load", 3, 90), ("fault", 90, 100), ("failover", 101, 106), ("settle", 106, 140), ("heal", 149, 150),
          ("failback", 200, 206), ("settle", 206, 240))


def troubled() -> Story:
    """There and back: in the failover a Deployment loses writes, another one never comes back."""
    story = Story()
    story.start(*FLEET, targets=TARGETS | {"writes-lost": 0, "tasks-duplicated": 3}, proves=["XR-05", "XR-12"])
    for index, (phase, began, ended) in enumerate(PHASES):
        story.event(began, "phase.started", phase=phase, index=index)
        story.event(ended, "phase.ended", phase=phase, index=index)
    story.event(4, "load.reached", running=11)
    for at in range(60, 240, 10):
        story.event(at, "sample", states={"running": 11}, answered=3 if at != 110 else 0,
                    lag={"state": "streaming", "lag_s": 0.04, "bytes": 2048})
    story.event(99, "load.at-fault", running=12)
    story.usage += [
        {"t": at, "group": group, "part": part, "processes": 1, "cpu_s": cpu, "pss_mib": 512.0}
        for at, cpu in ((10, 1.0), (20, 5.0), (30, 9.0))
        for group, part in (("airflow", "scheduler"), ("harness", "drill"))]
    reign(story, "west", 90, 100)
    story.look(99.5, [*everything(story), fact("variable", "team-00", "colour", "blue")])
    transition(story, 100, "west", "east")
    story.heal(150)
    reign(story, "east", 141, 200)
    for number in (1, 2):
        story.life("effect", 190 + number, "t1", number=number, region="east", deployment="team-00")
    story.airflow(193, "state", "t1", number=2, region="east", deployment="team-00")
    transition(story, 200, "east", "west", planned=True)
    forget_rows(story, "settled-3", range(90, 100), "team-01")
    for event in story.events:
        if event.kind == "probe" and event.data["d"] == "team-02" and event.monotonic > 100:
            event.data.update(outcome="failed", canary=None)
    return story


@pytest.fixture(scope="session")
def failed() -> Result:
    """The result of a run in which much went wrong."""
    return troubled().result()
