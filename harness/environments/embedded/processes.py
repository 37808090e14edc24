"""Start, watch and kill the processes of a site.

The mark of ownership of an embedded process is its **working directory**: every process of a
site runs somewhere below ``<environment>/sites/<site>/``, and so does whatever it starts, since
a child inherits the directory from its parent, even a PostgreSQL backend (which makes itself
a session leader, so a process group would miss it) and even once its parent is dead. So "all
processes of this region" is a question that ``/proc`` answers, to the harness that started them
and equally to a later ``drill down`` that did not. Nothing is ever stopped by name.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.environments.base import EnvironmentFailed

NICENESS = 5
"""Everything under observation yields to the observer: late probes would make a drill worthless."""
UNPRIVILEGED = "nobody"
"""PostgreSQL refuses to run as root; then it runs as this user."""


@dataclass
class Component:
    """One started process: what it is, and where it writes what it has to say."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    argv: list[str] = field(default_factory=list)
    directory: Path = Path()
    environment: Mapping[str, str] = field(default_factory=dict)
    killed: bool = False
    """Whether it was killed on purpose: then its end is no failure of the environment."""

    def check(self) -> None:
        """Raise when the process has ended.

        Raises:
            EnvironmentFailed: naming the component, its exit status and its log.
        """
        code = self.process.poll()
        if code is not None and not self.killed:
            raise EnvironmentFailed(
                f"{self.name} ended with status {code}",
                log=self.log,
                hint=last_lines(self.log),
            )

    def again(self) -> Component:
        """Start the same command once more, in the same place."""
        return start(self.name, self.argv, self.directory, self.log, self.environment)


def spawn(
    name: str,
    module: str,
    *,
    directory: Path,
    log: Path,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Component:
    """Start ``python -m module`` in ``directory``, its output appended to ``log``.

    Raises:
        EnvironmentFailed: when the directory cannot be made or the process cannot start.
    """
    argv = [sys.executable, "-m", module, *arguments]
    return start(name, argv, directory, log, environment)


def start(
    name: str, argv: list[str], directory: Path, log: Path,
    environment: Mapping[str, str] | None = None,
) -> Component:
    """Start a command in ``directory``; see :func:`spawn`."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as sink:
            process = subprocess.Popen(
                argv,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
            )
    except OSError as error:
        raise EnvironmentFailed(f"{name} could not be started: {error}", log=log) from error
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
    return Component(name, process, log, argv, directory, environment or {})


def unprivileged_user() -> int | None:
    """The user id PostgreSQL runs under when we are root, otherwise None."""
    return pwd.getpwnam(UNPRIVILEGED).pw_uid if os.geteuid() == 0 else None


def processes_in(*directories: Path) -> set[int]:
    """Ids of all living processes whose working directory is in one of ``directories``.

    Zombies have none and do not count; processes of other users cannot be ours.
    """
    roots = [str(directory.resolve()) for directory in directories]
    found: set[int] = set()
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            cwd = os.readlink(f"/proc/{entry}/cwd").removesuffix(" (deleted)")
        except OSError:
            continue
        if any(cwd == root or cwd.startswith(root + "/") for root in roots):
            found.add(int(entry))
    return found - {os.getpid()}


def kill_in(*directories: Path, timeout: float = 20.0) -> int:
    """SIGKILL every process of ``directories`` as one act; return how many there were.

    All are frozen first (SIGSTOP), looked for again until no new one appears, and only then
    killed, so that none can react to the death of another: that is what losing a region is.

    Raises:
        EnvironmentFailed: when one is still alive after ``timeout`` seconds.
    """
    frozen: set[int] = set()
    while fresh := processes_in(*directories) - frozen:
        _signal(fresh, signal.SIGSTOP)
        frozen |= fresh
    _signal(frozen, signal.SIGKILL)
    deadline = time.monotonic() + timeout
    while left := processes_in(*directories):
        _signal(left, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise EnvironmentFailed(f"processes {sorted(left)} did not die on SIGKILL")
        time.sleep(0.02)
    return len(frozen)


def reap(components: Iterable[Component]) -> None:
    """Collect the exit status of components that were killed, so that no zombie is left."""
    for component in components:
        with contextlib.suppress(subprocess.TimeoutExpired):
            component.process.wait(timeout=5)


def last_lines(log: Path, count: int = 6) -> str:
    """The last lines of a log, for an error message."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-count:])


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
