"""``drill report``: make a run's reports again."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from harness.cli.exit_codes import BROKEN
from harness.cli.printing import echo
from harness.measures.figures import MeasureFailed
from harness.record.evidence import DamagedRecord
from harness.record.journal import CorruptJournal
from reports import writer


@click.command("report")
@click.argument("run_directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
def command(run_directory: Path) -> None:
    """Make the reports of RUN_DIRECTORY again, from its journal and evidence alone."""
    try:
        made = writer.write(run_directory)
    except FileNotFoundError as error:
        if (run_directory / "evidence").exists():
            echo(f"{run_directory} has lost its journal; nothing can be said of this run: {error}", err=True)
            sys.exit(BROKEN)
        raise click.UsageError(f"{run_directory} holds no run: {error}") from error
    except DamagedRecord as error:
        echo(f"{run_directory} is not what the harness left; nothing can be said of this run:", err=True)
        for problem in error.problems:
            echo(f"- {problem}", err=True)
        sys.exit(BROKEN)
    except (CorruptJournal, MeasureFailed, OSError) as error:
        echo(str(error), err=True)
        sys.exit(BROKEN)
    except Exception as error:
        echo(f"the harness failed while it made the report of {run_directory}: {error!r}", err=True)
        sys.exit(BROKEN)
    echo(f"{made.verdict}  {run_directory / 'report.html'}")
    for reason in made.reasons:
        echo("- " + reason.replace("\n", "\n  "))
    sys.exit(made.exit_code)
