"""Printing of text that may be anybody's."""

from __future__ import annotations

import click

from harness.common.quoting import visible


def echo(text: str, *, err: bool = False) -> None:
    """Print text that may be anybody's: a drill file's, an orchestrator's."""
    click.echo(visible(text), err=err)
