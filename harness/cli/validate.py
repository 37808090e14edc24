"""``drill validate``: check drill files."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from harness.cli.exit_codes import BAD_INPUT
from harness.cli.loading import warn
from harness.cli.printing import echo
from harness.common.quoting import printable
from harness.drill.loader import InvalidDrill, load


@click.command("validate")
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True)
def command(files: tuple[Path, ...]) -> None:
    """Check drill FILES; every fault is listed with its place."""
    wrong = 0
    for file in files:
        try:
            loaded = load(file)
        except InvalidDrill as error:
            wrong += 1
            echo(str(error), err=True)
        else:
            warn(loaded)
            warned = f", {len(loaded.warnings)} warning(s)" if loaded.warnings else ""
            echo(f"{printable(str(file))}: valid ({len(loaded.drill.phases)} phases{warned})")
    sys.exit(BAD_INPUT if wrong else 0)
