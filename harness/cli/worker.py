"""``drill worker``: take a share of a drill's load on another host."""

from __future__ import annotations

import sys

import click

from harness.cli.exit_codes import BAD_INPUT
from harness.cli.printing import echo
from loadgen.worker import WorkerFailed, work


@click.command("worker")
@click.argument("file")
@click.option("--through", metavar="USER@HOST", help="The host that the drill runs on, as ssh knows it.")
def command(file: str, through: str | None) -> None:
    """Take a share of a drill's load on this host; the drill prints the FILE and waits for its workers."""
    try:
        sys.exit(work(file, through))
    except WorkerFailed as error:
        echo(str(error), err=True)
        sys.exit(BAD_INPUT)
