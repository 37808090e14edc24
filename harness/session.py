"""What the commands ``run``, ``up``, ``down`` and ``status`` do."""

from __future__ import annotations

import contextlib
import random
import secrets
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness import sizing
from harness.durations import show_duration
from harness.environments.base import EnvironmentFailed
from harness.environments.embedded import removal
from harness.environments.embedded.environment import EmbeddedPair
from harness.environments.embedded.layout import PairSettings
from harness.environments.embedded.ownership import Lock, Ownership, environments, held
from harness.environments.embedded.state import EnvironmentState
from harness.fleet import Fleet
from harness.live import make
from harness.loader import LoadedDrill
from harness.measures import ExitCode, Result
from harness.measures.figures import MeasureFailed
from harness.measures.interval import FAIL, INCONCLUSIVE, PASS
from harness.record.collecting import collect
from harness.record.events import Cleanup, RunBroken, RunEnded
from harness.record.evidence import DamagedRecord
from harness.record.journal import CorruptJournal, Journal
from harness.runner import FLEET_TIMEOUT_S, Runner
from loadgen.load import NO_WORKERS, Workers


def run(loaded: LoadedDrill, output: Path | None, seed: int | None, keep: bool = False,
        workers: Workers = NO_WORKERS) -> int:
    """Run a drill, write its reports, say where; the exit code."""
    from reports import writer

    console = Console()
    run_id = _identifier(loaded.drill.metadata.name)
    output = output or Path("runs") / run_id
    try:
        if (output / "journal.jsonl").exists():
            console.print(f"{output} holds a run already; choose another --output", style="red")
            return 2
        output.mkdir(parents=True, exist_ok=True)
        environment = _environment(loaded, run_id, output)
        progress = make(console, f"drill {loaded.drill.metadata.name}")
        progress.say(f"run {run_id}, written to {output}")
        for short in sizing.shortfalls(loaded.drill.fleet, loaded.drill.probes,
                                       sizing.Machine.here()):
            progress.say(f"this machine is small for it: {short} (drill plan says what would fit)")
        runner = Runner(loaded, environment, output, run_id, progress,
                        random.SystemRandom().getrandbits(32) if seed is None else seed, keep,
                        workers)
    except OSError as error:
        console.print(f"{output} cannot be written: {error}", style="red")
        return ExitCode.BROKEN
    try:
        runner.run()
    finally:
        progress.close()
    try:
        result = writer.write(output)
    except (OSError, CorruptJournal, DamagedRecord, MeasureFailed) as error:
        console.print(f"the report could not be written: {error}", style="red", markup=False)
        return ExitCode.BROKEN
    except Exception as error:
        # A bug in a renderer must not look like a verdict (an exit code of 1 is one).
        console.print(f"the harness failed while it made the report: {error!r}; the record is in {output}, and"
                      f" 'drill report {output}' makes the report again", style="red", markup=False)
        return ExitCode.BROKEN
    _summary(console, result, output)
    if keep:
        _show_access(console, environment)
    return result.exit_code


def up(loaded: LoadedDrill) -> int:
    """Bring up an environment with its idle fleet and leave it; the exit code."""
    console = Console()
    environment = _environment(loaded, _identifier(loaded.drill.metadata.name), None)
    began = time.monotonic()
    try:
        environment.up(lambda text: console.print(text, highlight=False))
        fleet = Fleet(environment, loaded.drill.fleet.deployments)
        fleet.create(loaded.drill.fleet.environment)
        while not fleet.healthy():
            environment.check()
            if time.monotonic() - began > FLEET_TIMEOUT_S:
                raise EnvironmentFailed(f"not up: {', '.join(fleet.missing())}")
            time.sleep(0.2)
    except (EnvironmentFailed, KeyboardInterrupt) as error:
        logs = Path("runs") / f"{environment.identifier}-logs"
        if environment.logs.exists():
            shutil.copytree(environment.logs, logs, dirs_exist_ok=True)
        environment.down()
        if isinstance(error, KeyboardInterrupt):
            console.print("interrupted; everything was removed")
            return ExitCode.ABORTED
        console.print(error.explain(), style="red", markup=False)
        console.print(f"logs: {logs}")
        return ExitCode.BROKEN
    console.print(f"up after {time.monotonic() - began:.0f} s: {environment.identifier}")
    _show_access(console, environment)
    return 0


def _show_access(console: Console, environment: EmbeddedPair) -> None:
    for role, region in environment.regions.items():
        console.print(f"  {role} ({region.name}):", highlight=False)
        console.print(f"    kubectl --kubeconfig {region.kubeconfig} get pods -A",
                      soft_wrap=True, highlight=False)
        console.print(f"    PGSERVICEFILE={environment.service_file} psql service={role}",
                      soft_wrap=True, highlight=False)
    console.print(f"remove it with: drill down {environment.identifier}", highlight=False)


def down(identifier: str | None, everything: bool) -> int:
    """Remove environments; the exit code."""
    console = Console()
    try:
        chosen = [d for d in environments() if identifier in (None, d.name)]
    except (OSError, EnvironmentFailed) as error:
        console.print(str(error), style="red", markup=False)
        return ExitCode.BROKEN
    if identifier and not chosen:
        console.print(f"there is no environment {identifier} (drill status)", style="red", markup=False)
        return 2
    failed = 0
    for directory in chosen:
        try:
            if held(directory) and not (everything or identifier):
                console.print(f"{directory.name}: its drill is running; left alone")
                continue
            count = remove(directory)
        except (OSError, EnvironmentFailed) as error:
            failed += 1
            console.print(f"{directory.name}: {error}", style="red", markup=False)
        else:
            console.print(f"{directory.name}: removed ({count} processes)")
    if not chosen:
        console.print("nothing to remove")
    return ExitCode.BROKEN if failed else ExitCode.PASS


def remove(directory: Path) -> int:
    """Remove an environment whoever made it; how many processes it still had.

    What its run measured so far is first brought to safety in the run's directory.
    """
    ownership, lock = Ownership.of(directory), Lock(directory)
    lock.take()
    count = ownership.kill()
    output = EnvironmentState.load(directory).run
    if output is not None and (output / "journal.jsonl").exists() and not _ended(output):
        with contextlib.suppress(EnvironmentFailed, CorruptJournal, DamagedRecord, MeasureFailed):
            _salvage(directory, output)
    removal.remove(ownership)
    lock.remove()
    return count


def status() -> None:
    """Print the environments on this machine."""
    console = Console()
    table = Table("environment", "state", "harness", "processes", "age", box=None)
    for directory in environments():
        state = EnvironmentState.load(directory)
        table.add_row(directory.name, state.state, "running" if held(directory) else "gone",
                      str(len(Ownership.of(directory).processes())),
                      "" if state.since is None else show_duration(time.time() - state.since))
    console.print(table if table.row_count else "no environments")


def watch(identifier: str | None, *, once: bool) -> int:
    """Show an environment's orchestrator; the exit code."""
    import httpx

    from harness.orchestrator_view import watch as show

    console = Console()
    found = [d for d in environments() if identifier in (None, d.name)]
    if len(found) != 1:
        console.print("name one of the environments (drill status): "
                      + (", ".join(d.name for d in found) or "there is none"), style="red")
        return 2
    try:
        pair = EmbeddedPair.found(found[0])
        return show(console, pair.orchestrator_url, pair.organization_id, pair.cluster_id,
                    pair.secret("read_token"), once=once)
    except (EnvironmentFailed, httpx.HTTPError) as error:
        console.print(f"{found[0].name}: its orchestrator does not answer: {error}", style="red")
        return ExitCode.BROKEN


def _ended(output: Path) -> bool:
    from harness.record import journal

    try:
        return any(e.kind == "run.ended" for e in journal.read(output))
    except CorruptJournal:
        return True


def _salvage(directory: Path, output: Path) -> None:
    """End the journal of a run whose harness was killed, and make its report."""
    from reports import writer

    book = Journal(output)
    collect(EmbeddedPair.found(directory), output, book)
    book.append(RunBroken(reason="the harness was killed; 'drill down' cleaned up"), durable=True)
    book.append(Cleanup(outcome="done", by="drill down"), durable=True)
    book.append(RunEnded(), durable=True)
    book.close()
    writer.write(output)


def _environment(loaded: LoadedDrill, identifier: str, output: Path | None) -> EmbeddedPair:
    spec, fleet = loaded.drill.environment, loaded.drill.fleet
    return EmbeddedPair(identifier, PairSettings(
        primary=spec.primary, secondary=spec.secondary, head_delay=spec.simulated_head_delay,
        task_seconds=fleet.task.duration, task_retries=fleet.task.retries,
        canary_seconds=fleet.canary, rpo_bound=spec.rpo_bound, drain=spec.drain), output)


def _identifier(name: str) -> str:
    stamp = datetime.now(UTC).strftime("%m%dT%H%M%S")
    return f"{name}-{stamp}-{secrets.token_hex(2)}".lower()


def _summary(console: Console, result: Result, output: Path) -> None:
    colours = {PASS: "green", FAIL: "red", INCONCLUSIVE: "yellow"}
    table = Table("target", "asked", "observed", "verdict", box=None, pad_edge=False)
    for judged in result.targets + [e for e in result.expectations if e.verdict != PASS or e.allowed]:
        allowed = ", allowed by the drill" if judged.allowed else ""
        table.add_row(Text(judged.name), judged.asked, Text(judged.observed + allowed),
                      f"[{colours[judged.verdict]}]{judged.verdict}[/]")
    if table.row_count:
        console.print(table)
    for reason in result.reasons:
        console.print(f"- {reason}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"[bold {colours[result.verdict]}]{result.verdict}[/]   clean-up {result.cleanup}")
    console.print(f"report: {output / 'report.html'}", soft_wrap=True, highlight=False)
