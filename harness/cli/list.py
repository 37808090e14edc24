"""``drill list``: the drills of the library, and the claims that they prove."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.printing import echo
from harness.drill.claims import CLAIMS
from harness.drill.loader import InvalidDrill, load

LIBRARY = Path(__file__).resolve().parents[2] / "drills"


def library_table(library: Path) -> str:
    """The drills of the library, a line each."""
    rows = []
    for path in sorted(library.glob("*.yaml")):
        try:
            meta = load(path).drill.metadata
            rows.append(f"{path.name:28} {meta.title}")
        except InvalidDrill as error:
            rows.append(f"{path.name:28} INVALID: {error.problems[0]}")
    return "\n".join(rows) or f"no drills in {library}"


def claims_table(library: Path) -> str:
    """Every claim with the drills that prove it; a claim without one is a hole."""
    drills, rows = [], []
    for path in sorted(library.glob("*.yaml")):
        try:
            drills.append((path.stem, load(path).drill.metadata.proves))
        except InvalidDrill as error:
            rows.append(f"{path.name} is INVALID and counts for nothing: {error.problems[0]}")
    for claim, text in CLAIMS.items():
        by = ", ".join(name for name, proves in drills if claim in proves)
        rows += [f"{claim}  {text}", f"       {by or 'no drill proves it yet'}"]
    return "\n".join(rows)


@click.command("list")
@click.option("--claims", is_flag=True, help="List the claims, and which drills prove them.")
def command(claims: bool) -> None:
    """List the drills of the library."""
    echo(claims_table(LIBRARY) if claims else library_table(LIBRARY))
