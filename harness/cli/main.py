"""The ``drill`` command. Heavy imports happen inside the commands that need them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.interrupts import Interrupts, over
from harness.common.quoting import visible

if TYPE_CHECKING:
    from harness.drill.loader import LoadedDrill

BAD_INPUT, BROKEN, INTERRUPTED = 2, 4, 130
LIBRARY = Path(__file__).resolve().parents[2] / "drills"
PRIVATE = 0o077
"""The umask: what a command writes is its user's alone, and its user's to read, whatever the shell's is."""


class Commands(click.Group):
    """The commands: each ends with an exit code that means something, whatever it meets."""

    def main(self, *arguments: Any, **more: Any) -> Any:
        """Parse the command line and run what it says."""
        from harness.cli.terminal import tolerate

        tolerate()  # help and complaints are printed, too
        return super().main(*arguments, **more)

    def invoke(self, context: click.Context) -> Any:
        """Run a command; a signal stops it, and lets it clean up."""
        umask = os.umask(PRIVATE)
        try:
            with Interrupts() as context.obj:
                try:
                    return super().invoke(context)
                finally:
                    # Python takes a while to end, and a signal in that while would put its number in the code's place.
                    over()
        except (click.ClickException, click.exceptions.Exit):
            raise
        except KeyboardInterrupt as interrupt:
            _echo(str(interrupt) or "interrupted", err=True)
            sys.exit(INTERRUPTED)
        except Exception as error:
            _echo(f"the harness failed: {error!r}", err=True)
            sys.exit(BROKEN)
        finally:
            os.umask(umask)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dr-drill")
def main() -> None:
    """Prove that the disaster recovery of a two-region Airflow platform works.

    A drill brings up a pair of regions with real Airflow under load, breaks something, has the
    system's own orchestrator fail over and back, and measures RTO, RPO, task retries and split-brain
    writes against targets.

    Exit codes: 0 pass, 1 a target missed, 2 bad usage or drill file, 3 inconclusive, 4 the environment
    or the harness failed, 5 passed but not cleaned up, 130 aborted.
    """


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="Run directory (default runs/ID).")
@click.option("--seed", type=int, help="Seed of everything random (default: drawn, and recorded).")
@click.option("--keep", is_flag=True, help="Leave the environment running, to look at it.")
@click.option("--workers", default="0", metavar="N[+M]",
              help="Spread the load's users over N Locust workers here and M on other hosts.")
@click.option("--force", is_flag=True, help="Run it even where the fleet does not fit into the memory.")
@click.pass_obj
def run(interrupts: Interrupts, file: Path, output: Path | None, seed: int | None, keep: bool, workers: str,
        force: bool) -> None:
    """Run the drill in FILE and write its report."""
    from loadgen.load import Workers

    try:
        spread = Workers.parse(workers)
    except ValueError:
        raise click.BadParameter("a number of workers, or two with a + between them (here+elsewhere), "
                                 f"not {workers}", param_hint="--workers") from None

    loaded = _load_or_exit(file)
    from harness.cli.main import session

    sys.exit(session.run(loaded, session.Options(output, seed, keep, spread, force), interrupts))


@main.command()
@click.argument("file")
@click.option("--through", metavar="USER@HOST", help="The host that the drill runs on, as ssh knows it.")
def worker(file: str, through: str | None) -> None:
    """Take a share of a drill's load on this host; the drill prints the FILE and waits for its workers."""
    from loadgen.worker import WorkerFailed, work

    try:
        sys.exit(work(file, through))
    except WorkerFailed as error:
        _echo(str(error), err=True)
        sys.exit(BAD_INPUT)


@main.command()
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True)
def validate(files: tuple[Path, ...]) -> None:
    """Check drill FILES; every fault is listed with its place."""
    from harness.common.quoting import printable
    from harness.drill.loader import InvalidDrill, load

    wrong = 0
    for file in files:
        try:
            loaded = load(file)
        except InvalidDrill as error:
            wrong += 1
            _echo(str(error), err=True)
        else:
            _warn(loaded)
            warned = f", {len(loaded.warnings)} warning(s)" if loaded.warnings else ""
            _echo(f"{printable(str(file))}: valid ({len(loaded.drill.phases)} phases{warned})")
    sys.exit(BAD_INPUT if wrong else 0)


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
def plan(file: Path) -> None:
    """Show what the drill in FILE would do and need; starts nothing."""
    loaded = _load_or_exit(file)
    from harness.cli.main import planning

    _echo(planning.describe(loaded))


@main.command("list")
@click.option("--claims", is_flag=True, help="List the claims, and which drills prove them.")
def list_drills(claims: bool) -> None:
    """List the drills of the library."""
    from harness.cli.main import planning

    _echo(planning.claims_table(LIBRARY) if claims else planning.library_table(LIBRARY))


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Start it even where the fleet does not fit into the memory.")
@click.pass_obj
def up(interrupts: Interrupts, file: Path, force: bool) -> None:
    """Bring up the pair and the idle fleet of the drill in FILE, and leave them running."""
    loaded = _load_or_exit(file)
    from harness.cli.main import session

    sys.exit(session.up(loaded, force, interrupts))


@main.command()
@click.argument("identifier", required=False)
@click.option("--all", "everything", is_flag=True,
              help="Also environments whose harness is still running.")
@click.pass_obj
def down(interrupts: Interrupts, identifier: str | None, everything: bool) -> None:
    """Remove environments that were left behind (or the one named)."""
    from harness.cli.main import leftovers

    sys.exit(leftovers.down(identifier, everything, interrupts))


@main.command()
def status() -> None:
    """Show the environments on this machine."""
    from harness.cli.main import leftovers

    sys.exit(leftovers.status())


@main.command()
@click.argument("run_directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
def report(run_directory: Path) -> None:
    """Make the reports of RUN_DIRECTORY again, from its journal and evidence alone."""
    from harness.measures.figures import MeasureFailed
    from harness.record.evidence import DamagedRecord
    from harness.record.journal import CorruptJournal
    from reports import writer

    try:
        made = writer.write(run_directory)
    except FileNotFoundError as error:
        if (run_directory / "evidence").exists():
            _echo(f"{run_directory} has lost its journal; nothing can be said of this run: {error}", err=True)
            sys.exit(BROKEN)
        raise click.UsageError(f"{run_directory} holds no run: {error}") from error
    except DamagedRecord as error:
        _echo(f"{run_directory} is not what the harness left; nothing can be said of this run:", err=True)
        for problem in error.problems:
            _echo(f"- {problem}", err=True)
        sys.exit(BROKEN)
    except (CorruptJournal, MeasureFailed, OSError) as error:
        _echo(str(error), err=True)
        sys.exit(BROKEN)
    except Exception as error:
        _echo(f"the harness failed while it made the report of {run_directory}: {error!r}", err=True)
        sys.exit(BROKEN)
    _echo(f"{made.verdict}  {run_directory / 'report.html'}")
    for reason in made.reasons:
        _echo("- " + reason.replace("\n", "\n  "))
    sys.exit(made.exit_code)


@main.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
def doctor(file: Path | None) -> None:
    """Look whether this machine can run drills (or the one in FILE); say what to do if it cannot."""
    loaded = _load_or_exit(file) if file else None
    from harness.cli.main import planning

    ok, text = planning.doctor(loaded.drill if loaded else None)
    _echo(text)
    sys.exit(0 if ok else BROKEN)


@main.group()
def orchestrator() -> None:
    """The reference orchestrator by itself: serve it, or watch one."""


@orchestrator.command()
@click.argument("config", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def serve(config: Path) -> None:
    """Serve the orchestrator described in CONFIG (JSON; see orchestrator/config.py) until interrupted.

    It listens where CONFIG says, which is loopback unless it says otherwise, and resumes what was
    unfinished.
    """
    # Modules are the installed ones, never what lies where somebody happens to stand.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "orchestrator.server", str(config)])


@orchestrator.command()
@click.argument("identifier", required=False)
@click.option("--once", is_flag=True, help="Print the state once and end.")
def watch(identifier: str | None, once: bool) -> None:
    """Show the state, steps and lags of an environment's orchestrator, live.

    IDENTIFIER is an environment's (see 'drill status'); not needed where there is just one.
    """
    from harness.cli.main import leftovers

    try:
        sys.exit(leftovers.watch(identifier, once=once))
    except KeyboardInterrupt:
        sys.exit(0)


def _echo(text: str, *, err: bool = False) -> None:
    """Print text that may be anybody's: a drill file's, an orchestrator's."""
    click.echo(visible(text), err=err)


def _load_or_exit(file: Path) -> LoadedDrill:
    from harness.drill.loader import InvalidDrill, load

    try:
        loaded = load(file)
    except InvalidDrill as error:
        _echo(str(error), err=True)
        _echo(f"{len(error.problems)} problem(s); nothing was started", err=True)
        sys.exit(BAD_INPUT)
    _warn(loaded)
    return loaded


def _warn(loaded: LoadedDrill) -> None:
    """Say what can be run and is probably not meant."""
    for warning in loaded.warnings:
        _echo(f"{warning.file}:{warning.line}:{warning.column}: warning: {warning.message}", err=True)


if __name__ == "__main__":
    main()
