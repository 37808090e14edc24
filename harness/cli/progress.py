"""What a run shows while it runs: a live panel on a terminal, plain lines when piped."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.common.quoting import visible
from harness.engine.progress import Progress

PLAIN_EVERY_S = 10.0
BAR = 24


class PlainProgress:
    """Lines with the time since the start; the status every few seconds."""

    def __init__(self, console: Console, mask: Callable[[str], str]) -> None:
        self._console, self._mask, self._began, self._shown = console, mask, time.monotonic(), 0.0

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(f"[{time.monotonic() - self._began:6.1f}s] {self._mask(text)}", markup=False,
                            highlight=False, soft_wrap=True)
        self._shown = time.monotonic()

    def show(self, status: Mapping[str, Any]) -> None:
        """Print the status when it is due."""
        if time.monotonic() - self._shown >= PLAIN_EVERY_S:
            self.say("  " + _one_line(status))

    def close(self) -> None:
        """Nothing to close."""


class LiveProgress:
    """A panel that is drawn again and again below the lines that stay."""

    def __init__(self, console: Console, title: str, mask: Callable[[str], str]) -> None:
        self._console, self._title, self._mask, self._began = console, title, mask, time.monotonic()
        self._status: Mapping[str, Any] = {}
        self._live = Live(console=console, refresh_per_second=4, transient=True,
                          get_renderable=self._draw)
        self._live.start()

    def say(self, text: str) -> None:
        """Print a line above the panel."""
        stamp = f"[{time.monotonic() - self._began:6.1f}s] "
        self._console.print(Text(stamp, style="dim") + Text(visible(self._mask(text))))

    def show(self, status: Mapping[str, Any]) -> None:
        """Draw this status from now on."""
        self._status = status

    def close(self) -> None:
        """Take the panel away."""
        self._live.stop()

    def _draw(self) -> Group:
        s = self._status
        table = Table.grid(padding=(0, 2))
        table.add_row("phase", Text(str(s.get("phase", "")), style="bold"))
        since = s.get("since_fault")
        table.add_row("since the fault", f"{since:.0f} s" if since is not None else "-")
        asked, running = int(s.get("asked") or 0), int(s.get("running") or 0)
        filled = min(BAR, BAR * running // asked) if asked else 0
        table.add_row("running tasks", f"{running} of {asked}  {'█' * filled}{'·' * (BAR - filled)}")
        up, fleet = s.get("up", 0), s.get("fleet", 0)
        table.add_row("Deployments", f"{up} of {fleet} up")
        states = s.get("states") or {}
        table.add_row("tasks by state", "  ".join(f"{k} {v}" for k, v in sorted(states.items())))
        elapsed = time.monotonic() - self._began
        return Group(Text(f"{self._title}   {elapsed:.0f} s", style="bold cyan"), table)


def make(console: Console, title: str, mask: Callable[[str], str] = str) -> Progress:
    """The progress that fits the terminal, or the pipe; ``mask``: takes secrets out of what is said."""
    return LiveProgress(console, title, mask) if console.is_terminal else PlainProgress(console, mask)


def _one_line(s: Mapping[str, Any]) -> str:
    since = s.get("since_fault")
    parts = [str(s.get("phase", "")), f"{s.get('up', 0)}/{s.get('fleet', 0)} Deployments up",
             f"{s.get('running', 0)}/{s.get('asked', 0)} tasks running"]
    if since is not None:
        parts.append(f"{since:.0f} s since the fault")
    return ", ".join(parts)
