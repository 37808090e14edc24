"""A drill that a test runs in an instant: an environment that only remembers, and a runner that brings nothing up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import yaml

from harness.drill.loader import LoadedDrill, load
from harness.engine.interruption import UNINTERRUPTED, Interruption
from harness.engine.runner import Runner
from harness.environments.base import Environment
from harness.record import journal
from harness.record.journal import Journal

Act = Callable[[], Any]


def nothing() -> None:
    """What happens unless a test says otherwise."""


class RememberedEnvironment:
    """What was done to it, in order; each act can be made to do more."""

    def __init__(self, root: Path) -> None:
        self.identifier, self.cluster_id = "env-1", "cl"
        self.directory = root / "envs" / self.identifier
        self.logs = self.directory / "logs"
        self.witness_log = self.link_log = self.usage_log = self.directory / "absent.jsonl"
        self.simulated: list[str] = []
        self.done: list[str] = []
        self.on_up: Act = nothing
        self.on_down: Act = nothing
        self.left: set[int] = set()

    def up(self, progress: Callable[[str], None] = lambda _: None) -> None:
        self.done.append("up")
        self.logs.mkdir(parents=True)
        self.on_up()

    def down(self) -> None:
        self.done.append("down")
        self.on_down()
        if self.logs.exists():
            self.logs.rmdir()
            self.directory.rmdir()

    def check(self) -> None:
        pass

    def processes(self) -> set[int]:
        return self.left

    def epochs(self) -> list[Any]:
        self.done.append("evidence")
        return []

    runs_as = "nobody"

    def epoch_gaps(self) -> list[str]:
        return []

    def spools(self) -> list[Path]:
        return []

    def access_logs(self) -> dict[str, list[Path]]:
        return {}


class Said:
    """A progress that remembers what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def show(self, status: Any) -> None:
        pass

    def close(self) -> None:
        pass


class Drilled(Runner):
    """A runner that brings up no fleet, and whose phases a test makes up."""

    def __init__(self, root: Path, *, keep: bool = False, interruption: Interruption = UNINTERRUPTED) -> None:
        self.remembered, self.said = RememberedEnvironment(root), Said()
        self.on_phase: Act = nothing
        super().__init__(drill_file(root), cast(Environment, self.remembered), Journal(root / "run", new=True), "run-1",
                         self.said, 1, keep, interruption=interruption)

    def _launch(self, began: float) -> None:
        for name in ("probes", "samples"):
            self.teardown.push(f"the {name}", lambda name=name: self.remembered.done.append(name))

    def _run_phase(self, index: int, kind: str, spec: Any) -> None:
        if index == 0:
            self.on_phase()

    def kinds(self) -> list[str]:
        """The kinds of the events in its journal."""
        return [event.kind for event in self.events()]

    def events(self) -> list[journal.Event]:
        return journal.read(self.output)


def drill_file(root: Path) -> LoadedDrill:
    """A small drill."""
    path = root / "drill.yaml"
    path.write_text(yaml.safe_dump({
        "apiVersion": "dr-drill/v1", "kind": "Drill", "metadata": {"name": "small"},
        "fleet": {"deployments": 1, "concurrent_tasks": 2}, "phases": [{"load": {"until": "saturated"}}, {"settle": {}}],
        "targets": {"writes-lost": 0}}))
    return load(path)
