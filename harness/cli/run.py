"""``drill run``: run a drill and write its report."""

from __future__ import annotations

import random
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from harness.cli.interrupts import Interrupts
from harness.cli.loading import load_or_exit
from harness.cli.pair import make_pair, new_identifier, refused, show_access
from harness.cli.progress import make
from harness.cli.terminal import Terminal, say
from harness.drill.loader import LoadedDrill
from harness.engine import sizing
from harness.engine.runner import Runner
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
    run_id = new_identifier(loaded.drill.metadata.name)
    output = options.output or Path("runs") / run_id
    if not options.force and refused(console, loaded):
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
        environment = make_pair(loaded, run_id, output)
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
        show_access(console, environment)
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


@click.command("run")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="Run directory (default runs/ID).")
@click.option("--seed", type=int, help="Seed of everything random (default: drawn, and recorded).")
@click.option("--keep", is_flag=True, help="Leave the environment running, to look at it.")
@click.option("--workers", default="0", metavar="N[+M]",
              help="Spread the load's users over N Locust workers here and M on other hosts.")
@click.option("--force", is_flag=True, help="Run it even where the fleet does not fit into the memory.")
@click.pass_obj
def command(interrupts: Interrupts, file: Path, output: Path | None, seed: int | None, keep: bool, workers: str,
        force: bool) -> None:
    """Run the drill in FILE and write its report."""
    try:
        spread = Workers.parse(workers)
    except ValueError:
        raise click.BadParameter("a number of workers, or two with a + between them (here+elsewhere), "
                                 f"not {workers}", param_hint="--workers") from None

    loaded = load_or_exit(file)
    sys.exit(run(loaded, Options(output, seed, keep, spread, force), interrupts))
