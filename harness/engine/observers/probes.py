"""Open-loop probes: whether each Deployment is up, seen as its users see it, by its own hostname.

A probe is sent on a fixed schedule whatever the last one's answer was, so that a hung server cannot
hide its outage by keeping its prober waiting. The probing itself happens in a process of its own
(``harness.engine.observers.prober``); this side starts it, puts each outcome into the journal, and knows the
latest one of each Deployment.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.engine.observers.watched import WatchedThread
from harness.record.events import Probe
from harness.record.journal import Journal

STOP_S = 10.0


@dataclass
class Target:
    """A Deployment to be probed."""

    name: str
    hostname: str
    password: str = field(repr=False)
    last_ok: float = 0.0
    """When the last answered probe was sent (wall-clock seconds)."""
    canary_scheduled: float = 0.0
    """When the latest successful canary task that was seen had been scheduled."""


class Probes:
    """Probes all Deployments by a process of its own."""

    def __init__(
        self, journal: Journal, targets: Sequence[Target], *, interval: float, port: int,
        dns: tuple[str, int], log: Path, options: Mapping[str, Any],
    ) -> None:
        """Take the targets; nothing is sent before :meth:`start`.

        ``interval``: seconds between two probes of a Deployment; ``dns``: who resolves their names;
        ``options``: how its process is started (``subprocess.Popen``): where, as whom, with which environment block.
        """
        self._journal, self.targets = journal, list(targets)
        self._by_name: Mapping[str, Target] = {target.name: target for target in self.targets}
        self._config = {
            "interval": interval, "port": port, "dns": list(dns),
            "targets": [{"name": t.name, "hostname": t.hostname, "password": t.password}
                        for t in self.targets]}
        self._log, self._options = log, dict(options)
        self._process: subprocess.Popen[str] | None = None
        self._thread = WatchedThread(target=self._listen, name="the listener to the prober", daemon=True)

    def start(self) -> None:
        """Begin to probe."""
        with self._log.open("ab") as sink:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "harness.engine.observers.prober"], text=True, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=sink, start_new_session=True, **self._options)
        assert self._process.stdin is not None
        # Passwords go through the pipe: neither into a file nor into an argument list.
        self._process.stdin.write(json.dumps(self._config) + "\n")
        self._process.stdin.flush()
        self._thread.start()

    def ended(self) -> int | None:
        """The exit status when it has ended by itself, otherwise None.

        Raises:
            ThreadFailed: when nobody puts down any more what it says.
        """
        self._thread.check()
        return None if self._process is None else self._process.poll()

    @property
    def log(self) -> Path:
        """Where it writes what it has to say."""
        return self._log

    def stop(self) -> None:
        """Send no more probes and wait for the answers of those that are out.

        Raises:
            ThreadFailed: when not all that was answered is in the journal.
        """
        if self._process is None or self._process.stdin is None:
            return
        with contextlib.suppress(OSError):  # what it was told last is still in the pipe, and it has gone
            self._process.stdin.close()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_S)
        self._thread.finish(STOP_S)

    def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            seen = json.loads(line)
            target = self._by_name[seen["d"]]
            if seen["outcome"] == "ok":
                target.last_ok = seen["sent"]
                canary = seen.get("canary") or {}
                target.canary_scheduled = canary.get("scheduled", target.canary_scheduled)
            self._journal.append(Probe(**seen))
