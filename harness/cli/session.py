"""What the commands ``run`` and ``up`` do."""

from __future__ import annotations

import random
import secrets
import shutil
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table
from rich.text import Text

from harness.cli.interrupts import Interrupts
from harness.cli.progress import make
from harness.cli.terminal import Terminal, say
from harness.common.teardown import Teardown, in_words
from harness.drill.loader import LoadedDrill
from harness.engine import sizing
from harness.engine.fleet import Fleet
from harness.engine.runner import FLEET_TIMEOUT_S, Runner
from harness.environments.base import EnvironmentFailed
from harness.environments.embedded.environment import EmbeddedPair
from harness.environments.embedded.layout import PairSettings
from harness.measures import ExitCode, Result
from harness.measures.figures import MeasureFailed
from harness.measures.interval import FAIL, INCONCLUSIVE, PASS
from harness.record.evidence import DamagedRecord
from harness.record.journal import CorruptJournal, Journal, JournalInUse, NotOurs, RunExists
from loadgen.load import NO_WORKERS, Workers


@dataclass(frozen=True)
class Options:
    """What ``drill run`` was asked for beside the drill."""

    output: Path | None = None
    """The run directory; None: one of its own below ``runs``."""
    seed: int | None = None
    keep: bool = False
    """Leave the environment running at the end."""
    workers: Workers = NO_WORKERS
    force: bool = False
    """Run it even where the fleet does not fit into the memory."""


def run(loaded: LoadedDrill, options: Options, interrupts: Interrupts) -> int:
    """Run a drill, write its reports, say where; the exit code."""
    console = Terminal()
    run_id = _identifier(loaded.drill.metadata.name)
    output = options.output or Path("runs") / run_id
    if not options.force and _refused(console, loaded):
        return ExitCode.BAD_INPUT
    with interrupts.held():
        try:
            journal = Journal(output, new=True, mask=loaded.drill.fleet.variables.mask)
        except (RunExists, JournalInUse):
            say(console, f"{output} holds a run already; choose another --output", "red")
            return ExitCode.BAD_INPUT
        except NotOurs as error:
            say(console, f"{error}, who could change the run: choose another --output", "red")
            return ExitCode.BAD_INPUT
        except OSError as error:
            say(console, f"{output} cannot be written: {error}", "red")
            return ExitCode.BROKEN
        environment = _environment(loaded, run_id, output)
        mask = loaded.drill.fleet.variables.mask
        with closing(make(console, f"drill {loaded.drill.metadata.name}", mask)) as progress:
            progress.say(f"run {run_id}, written to {output}")
            for short in sizing.shortfalls(loaded.drill.fleet, loaded.drill.probes, sizing.Machine.here()):
                progress.say(f"this machine is small for it: {short} (drill plan says what would fit)")
            seed = random.SystemRandom().getrandbits(32) if options.seed is None else options.seed
            runner = Runner(loaded, environment, journal, run_id, progress, seed, options.keep, options.workers,
                            interrupts)
            runner.run()
        interrupts.heeded()
        code = _report(console, output, interrupts)
    if options.keep:
        _show_access(console, environment)
    return ExitCode.ABORTED if runner.aborted else code


def _report(console: Terminal, output: Path, interrupts: Interrupts) -> int:
    """Make the report of a run that has ended; the exit code that follows from it."""
    from reports import writer

    again = f"the record is in {output}, and 'drill report {output}' makes the report"
    try:
        with interrupts.raised():
            result = writer.write(output)
    except (OSError, CorruptJournal, DamagedRecord, MeasureFailed) as error:
        say(console, f"the report could not be written: {error}", "red")
        return ExitCode.BROKEN
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) or interrupts.received:
            say(console, f"{interrupts.received} while the report was made; {again}", "red")
            return ExitCode.ABORTED
        # A bug in a renderer must not look like a verdict (an exit code of 1 is one).
        say(console, f"the harness failed while it made the report: {error!r}; {again}", "red")
        return ExitCode.BROKEN
    _summary(console, result, output)
    return result.exit_code


def up(loaded: LoadedDrill, force: bool, interrupts: Interrupts) -> int:
    """Bring up an environment with its idle fleet and leave it; the exit code."""
    console = Terminal()
    if not force and _refused(console, loaded):
        return ExitCode.BAD_INPUT
    environment = _environment(loaded, _identifier(loaded.drill.metadata.name), None)
    began = time.monotonic()
    with interrupts.held():
        teardown = Teardown(lambda step: say(console, f"{step.what}: {step.error}", "red"))
        teardown.push("the environment", environment.down)
        try:
            with interrupts.raised():
                _bring_up(loaded, environment, console)
        except BaseException as error:
            stopped = isinstance(error, KeyboardInterrupt) or interrupts.received
            return _take_down(console, environment, teardown, None if stopped else error)
    say(console, f"up after {time.monotonic() - began:.0f} s: {environment.identifier}")
    _show_access(console, environment)
    return ExitCode.PASS


def _bring_up(loaded: LoadedDrill, environment: EmbeddedPair, console: Terminal) -> None:
    environment.up(lambda text: say(console, text))
    fleet = Fleet(environment, loaded.drill.fleet.deployments)
    fleet.create(loaded.drill.fleet.variables)
    deadline = time.monotonic() + FLEET_TIMEOUT_S
    while not fleet.healthy():
        environment.check()
        if time.monotonic() > deadline:
            raise EnvironmentFailed(f"not up: {', '.join(fleet.missing())}")
        time.sleep(0.2)


def _take_down(console: Terminal, environment: EmbeddedPair, teardown: Teardown, error: BaseException | None) -> int:
    """Remove what ``drill up`` has made before it failed, or was interrupted (no error); the exit code."""
    logs = Path("runs") / f"{environment.identifier}-logs"
    if error is not None and environment.logs.exists():
        teardown.push("its logs", lambda: shutil.copytree(environment.logs, logs, dirs_exist_ok=True))
    failed = teardown.run()
    if error is None:
        say(console, "interrupted" + ("" if failed else "; everything was removed"))
        return ExitCode.ABORTED
    explained = error.explain() if isinstance(error, EnvironmentFailed) else in_words(error)
    say(console, explained, "red")
    if logs.exists():
        say(console, f"logs: {logs}")
    return ExitCode.BROKEN


def _show_access(console: Terminal, environment: EmbeddedPair) -> None:
    for role, region in environment.regions.items():
        say(console, f"  {role} ({region.name}):")
        say(console, f"    kubectl --kubeconfig {region.kubeconfig} get pods -A")
        say(console, f"    PGSERVICEFILE={environment.service_file} psql service={role}")
    say(console, f"remove it with: drill down {environment.identifier}")


def _refused(console: Terminal, loaded: LoadedDrill) -> bool:
    """Whether a fleet is too large for the memory that is left: then it, and its neighbours, would be killed."""
    fleet, machine = loaded.drill.fleet, sizing.Machine.here()
    if (short := sizing.short_of_memory(fleet, loaded.drill.probes, machine)) is None:
        return False
    most = sizing.largest(fleet, loaded.drill.probes, machine)
    say(console, f"nothing was started: {short}; {most} Deployments would fit, and --force runs it all the same", "red")
    return True


def _environment(loaded: LoadedDrill, identifier: str, output: Path | None) -> EmbeddedPair:
    spec, fleet = loaded.drill.environment, loaded.drill.fleet
    return EmbeddedPair(identifier, PairSettings(
        primary=spec.primary, secondary=spec.secondary, head_delay=spec.simulated_head_delay,
        task_seconds=fleet.task.duration, task_retries=fleet.task.retries,
        canary_seconds=fleet.canary, rpo_bound=spec.rpo_bound, drain=spec.drain), output)


def _identifier(name: str) -> str:
    stamp = datetime.now(UTC).strftime("%m%dT%H%M%S")
    return f"{name}-{stamp}-{secrets.token_hex(2)}".lower()


def _summary(console: Terminal, result: Result, output: Path) -> None:
    colours = {PASS: "green", FAIL: "red", INCONCLUSIVE: "yellow"}
    table = Table("target", "asked", "observed", "verdict", box=None, pad_edge=False)
    for judged in result.targets + [e for e in result.expectations if e.verdict != PASS or e.allowed]:
        allowed = ", allowed by the drill" if judged.allowed else ""
        table.add_row(Text(judged.name), Text(judged.asked), Text(judged.observed + allowed),
                      Text(judged.verdict, colours[judged.verdict]))
    if table.row_count:
        console.print(table)
    for reason in result.reasons:
        # What follows a line end in somebody's message must not look like a line of ours.
        say(console, "- " + reason.replace("\n", "\n  "))
    say(console, f"{result.verdict}   clean-up {result.cleanup}", f"bold {colours[result.verdict]}")
    say(console, f"report: {output / 'report.html'}")
