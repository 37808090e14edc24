"""The ``drill`` command: a group, whose commands are one a file and are imported when they are asked for."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import click

from harness.cli.exit_codes import BROKEN, INTERRUPTED
from harness.cli.interrupts import Interrupts, over
from harness.cli.printing import echo, tolerate

COMMANDS = {
    "run": "Run the drill in FILE and write its report.",
    "validate": "Check drill FILES; every fault is listed with its place.",
    "plan": "Show what the drill in FILE would do and need; starts nothing.",
    "list": "List the drills of the library.",
    "up": "Bring up the pair and the idle fleet of the drill in FILE, and leave them running.",
    "down": "Remove environments that were left behind (or the one named).",
    "status": "Show the environments on this machine.",
    "report": "Make the reports of RUN_DIRECTORY again, from its journal and evidence alone.",
    "doctor": "Look whether this machine can run drills (or the one in FILE); say what to do if it cannot.",
    "worker": "Take a share of a drill's load on this host; the drill prints the FILE and waits for its workers.",
    "orchestrator": "The reference orchestrator by itself: serve it, or watch one.",
}
"""Each is the ``command`` of the module of its name here, and what it does: to list them imports none."""
PRIVATE = 0o077
"""The umask: what a command writes is its user's alone, and its user's to read, whatever the shell's is."""


class Commands(click.Group):
    """The commands: each ends with an exit code that means something, whatever it meets."""

    def main(self, *arguments: Any, **more: Any) -> Any:
        """Parse the command line and run what it says."""
        tolerate()  # help and complaints are printed, too
        return super().main(*arguments, **more)

    def list_commands(self, context: click.Context) -> list[str]:
        """The names of the commands, in the order in which they are needed."""
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """A command by its name; its module is imported only now, so that no command waits for another's imports."""
        if name not in COMMANDS:
            return None
        found: click.Command = import_module(f"harness.cli.{name}").command
        return found

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands and what they do into the help."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

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
            over()  # one that came before the others were heeded; the next must not end this process by its number
            echo(str(interrupt) or "interrupted", err=True)
            sys.exit(INTERRUPTED)
        except Exception as error:
            echo(f"the harness failed: {error!r}", err=True)
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


if __name__ == "__main__":
    main()
