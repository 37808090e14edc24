"""What a drill has broken is taken back by what concerns its site."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.drill.loader import load
from harness.engine.context import DrillContext
from harness.engine.standing import Standing
from harness.engine.undo import revert
from harness.environments.base import EnvironmentFailed
from harness.faults import FAULTS

LIBRARY = sorted((Path(__file__).parents[3] / "drills").glob("*.yaml"))
OUTAGE = Standing("region-outage", {"restore-region": "primary"})
PARTITION = Standing("partition", {"mend-links": ["primary->secondary", "secondary->primary"]})
AWAY = Standing("link", {"mend-links": ["orchestrator->outside"]})
APIS = Standing("api-outage", {"end-api-outage": "secondary"})


class Pair:
    """Remembers what was taken back; a link may refuse to be mended."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.alive, self.degraded = False, {}

    def region_alive(self, role: str) -> bool:
        return self.alive

    def restore_region(self, role: str) -> dict[str, Any]:
        self.done.append(f"power {role}")
        return {}

    def set_link(self, source: str, target: str) -> dict[str, Any]:
        self.done.append(f"{source}->{target}")
        return {"links": self.degraded}

    def api_outage(self, site: str, services: tuple[str, ...]) -> dict[str, Any]:
        self.done.append(f"apis {site}")
        return {"refused": []}


def healed(pair: Pair, standing: list[Standing], site: str) -> list[str]:
    """The kinds of the events that were written."""
    written: list[str] = []
    context = SimpleNamespace(
        environment=pair, progress=SimpleNamespace(say=lambda _: None),
        journal=SimpleNamespace(append=lambda event, durable=False: written.append(event.KIND)))
    revert(cast(DrillContext, context), standing, site)
    return written


def test_what_concerns_the_site_is_taken_back_the_latest_first_and_the_rest_stands() -> None:
    pair, standing = Pair(), [OUTAGE, APIS, PARTITION, AWAY]
    written = healed(pair, standing, "primary")
    assert pair.done == ["orchestrator->outside", "primary->secondary", "secondary->primary", "power primary"]
    assert standing == [APIS]
    assert written == ["undo.intent", "undo.outcome"] * 3


def test_a_region_that_lives_is_not_started_again() -> None:
    pair, standing = Pair(), [OUTAGE]
    pair.alive = True
    healed(pair, standing, "primary")
    assert (pair.done, standing) == ([], [])


def test_what_is_still_in_force_afterwards_is_said_and_stands() -> None:
    pair, standing = Pair(), [PARTITION]
    pair.degraded = {"secondary->primary": {"cut": True}}
    with pytest.raises(EnvironmentFailed, match="still reports as degraded: secondary->primary"):
        healed(pair, standing, "primary")
    assert standing == [PARTITION]


@pytest.mark.parametrize("file", LIBRARY, ids=lambda path: path.stem)
def test_in_the_library_a_heal_leaves_nothing_broken(file: Path) -> None:
    standing: list[Standing] = []
    for phase in load(file).drill.phases:
        if phase.kind == "fault":
            name, parameters = phase.spec.chosen
            standing.append(Standing(name, FAULTS[name].undo(parameters)))
        if phase.kind == "heal":
            standing = [each for each in standing if not FAULTS[each.fault].concerns(each.undo, phase.spec.region)]
            assert standing == []
