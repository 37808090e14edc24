"""What the phases of a drill act on and look at, and how they wait."""

from __future__ import annotations

import getpass
import random
import socket
import time
from collections.abc import Callable

from harness.common.teardown import Teardown
from harness.drill.loader import LoadedDrill
from harness.engine.fleet import Fleet
from harness.engine.interruption import Interruption
from harness.engine.observers.databases import Sampler
from harness.engine.observers.probes import Probes
from harness.engine.progress import Progress
from harness.engine.standing import Standing
from harness.environments.base import Environment, EnvironmentFailed
from harness.record.events import Check, LoadStarted, LoadStopped
from harness.record.journal import Journal
from loadgen.load import LocustUsers, Workers

POLL_S = 0.1
SLOW_POLL_S = 1.0
"""For conditions that cost the system under observation something to look at."""
FRESH_CANARIES = 2.5
"""A Deployment counts as up for so many canary intervals after it was last seen to be."""


class Aborted(Exception):
    """The drill stopped itself before its end: going on would have proven nothing."""


class PhaseFailed(Exception):
    """A phase ended in a way that fails the drill (the failover was refused, say)."""


class DrillContext:
    """One drill under way: its environment, its observers, and what has happened so far."""

    def __init__(self, loaded: LoadedDrill, environment: Environment, journal: Journal, progress: Progress,
                 seed: int, workers: Workers, teardown: Teardown, interruption: Interruption) -> None:
        """``workers``: Locust workers to spread the load users over; ``teardown``: how what is started is ended."""
        self.drill, self.environment, self.output = loaded.drill, environment, journal.path.parent
        self.progress, self.seed, self.workers = progress, seed, workers
        self.journal, self.teardown, self.interruption = journal, teardown, interruption
        self.chance = random.Random(seed)
        self.phase = "up"
        self.last = False
        """Whether the phase is the drill's last one."""
        self.active = "primary"
        """Where Airflow is to run."""
        self.t_fault: float | None = None
        """When the outage began that has not been settled yet (wall-clock seconds)."""
        self.t_moved: float | None = None
        """When the orchestrator had finished its last move (wall-clock seconds)."""
        self.standing: list[Standing] = []
        """The faults that stand, and how to take each back, the latest last."""
        self.pushed_image = ""
        """The object that was pushed last while a region was away."""
        self.snapshots = 0
        self.probes: Probes | None = None
        self.load: LocustUsers | None = None
        self.launched: Fleet | None = None
        self.sampling: Sampler | None = None

    def start_load(self, asked: int) -> None:
        """Start the load users; they keep so many task instances running."""
        users = self.environment.directory / "sites" / "users"
        self.load = LocustUsers(users, self.environment.logs / "locust.log", self.workers,
                                options=self.environment.process_options(users))
        self.journal.append(LoadStarted(asked=asked))
        self.teardown.push("the load", self.load.stop)
        self.load.start(self.fleet.load_config(asked, self.seed))
        if self.workers.elsewhere:
            here = f"{getpass.getuser()}@{socket.gethostname()}"
            self.progress.say(f"waiting for {self.workers.elsewhere} Locust worker(s) on other hosts; "
                              f"on each: ./dev drill worker --through {here} {self.load.config}")

    def stop_load(self) -> None:
        """Have no user start anything any more; what runs comes to its end. Nothing where no load runs."""
        if self.load is not None:
            self.load.stop()
            self.load = None
            self.journal.append(LoadStopped())

    @property
    def fleet(self) -> Fleet:
        """The fleet; there is one from the end of bringing up on."""
        assert self.launched is not None
        return self.launched

    @property
    def sampler(self) -> Sampler:
        """The sampler; there is one from the end of bringing up on."""
        assert self.sampling is not None
        return self.sampling

    def look(self, name: str, ok: bool, detail: str) -> None:
        """Write down what was looked at, whether it is so, and what was seen."""
        self.journal.append(Check(name=name, ok=ok, detail=detail))

    @property
    def restored_from(self) -> float:
        """Since when a canary that was scheduled shows that its Deployment is up again.

        Not before the last move had ended: what the region that was left scheduled while it was being left is
        seen in the other one too, and shows nothing of it.
        """
        return max(self.t_fault or 0.0, self.t_moved or 0.0)

    def up_since(self, t: float) -> int:
        """How many Deployments have a canary success scheduled after ``t``, seen just now."""
        if self.probes is None:
            return 0
        age = FRESH_CANARIES * self.drill.fleet.canary
        fresh = time.time() - age
        return sum(1 for target in self.probes.targets
                   if target.canary_scheduled > max(t, fresh - age) and target.last_ok > fresh)

    def wait(self, condition: Callable[[], bool], timeout: float,
              on_timeout: Callable[[], Exception | None], poll: float = POLL_S) -> None:
        """Poll a condition while watching over the environment; ``on_timeout`` may raise."""
        deadline = time.monotonic() + timeout
        next_look = 0.0
        while not condition():
            now = time.monotonic()
            if now > deadline:
                if (error := on_timeout()) is not None:
                    raise error
                return
            if now >= next_look:
                self.watch_over()
                next_look = now + 0.5
            time.sleep(poll)

    def watch_over(self) -> None:
        """Look after what must go on while a phase waits, and show how far the drill is.

        Raises:
            EnvironmentFailed: when a part of the environment or of the load has ended.
            ThreadFailed: when an observer has.
            Aborted: when going on would prove nothing.
        """
        self.interruption.check()
        self.environment.check()
        if self.load is not None and (status := self.load.ended()) is not None:
            raise EnvironmentFailed(f"locust ended with status {status}", log=self.load.log)
        if self.probes is not None and (status := self.probes.ended()) is not None:
            raise EnvironmentFailed(f"the prober ended with status {status}", log=self.probes.log)
        if self.sampling is not None:
            self.sampling.check()
        limit = self.drill.abort_when.witness_unreachable
        if limit and self.sampling and self.sampling.witness_silent_for() > limit:
            raise Aborted(f"the witness has not answered for {limit:.0f} s")
        states = dict(self.sampling.states) if self.sampling else {}
        self.progress.show({
            "phase": self.phase, "fleet": self.drill.fleet.deployments,
            "up": self.up_since(self.restored_from) if self.probes
            else self.launched.ready if self.launched else 0, "states": states,
            "running": states.get("running", 0), "asked": self.drill.fleet.concurrent_tasks,
            "since_fault": time.time() - self.t_fault if self.t_fault else None})
