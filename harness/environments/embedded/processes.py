"""Start, watch and kill the processes of a site.

Every process of a site runs somewhere below ``<environment>/sites/<site>/``, and so does whatever it starts, since
a child inherits the directory from its parent, even a PostgreSQL backend (which makes itself a session leader, so a
process group would miss it) and even once its parent is dead. Together with the mark of its environment (see
``ownership``), "all processes of this region" is a question that ``/proc`` answers, to the harness that started them
and equally to a later ``drill down`` that did not.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.environments.base import PROOF, EnvironmentFailed
from harness.environments.embedded.ownership import Ownership
from harness.environments.embedded.private import open_private
from harness.environments.embedded.user import options

NICENESS = 5
"""Everything under observation yields to the observer: late probes would make a drill worthless."""
UMASK = 0o077
"""What a process of an environment writes is its user's alone."""
SERVERS_SCORE, PODS_SCORE = 500, 800
"""How soon the kernel takes a process when memory runs out: pods first, as a node would."""
INHERITED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH",
             "COVERAGE_PROCESS_START", "COVERAGE_RCFILE", "COVERAGE_FILE")
"""What a process needs of the environment of whoever started the drill."""
USER, USER_NAME = ("USER", "LOGNAME"), "dr-drill"


DATABASES = {"PGREQUIREAUTH": PROOF}
"""What libpq, whoever uses it, tells whoever listens in a database's place: nothing of use to them."""


@dataclass
class Component:
    """One started process: what it is, and where it writes what it has to say."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    argv: list[str] = field(default_factory=list)
    directory: Path = Path()
    environment: Mapping[str, str] = field(default_factory=dict)
    pass_fds: Sequence[int] = ()
    """Descriptors that it holds for as long as it lives (the lease of the addresses)."""
    user: int | None = None
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
        return start(self.name, self.argv, self.directory, self.log, self.environment, self.pass_fds, self.user)


def spawn(
    name: str,
    module: str,
    *,
    ownership: Ownership,
    directory: Path,
    log: Path,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> Component:
    """Start ``python -m module`` in ``directory``, its output appended to ``log``.

    ``environment``: variables that it needs beside those that all have.

    Raises:
        EnvironmentFailed: when the directory cannot be made or the process cannot start.
    """
    argv = [sys.executable, "-m", module, *arguments]
    whole = {**environment_for(directory, ownership), **(environment or {})}
    return start(name, argv, directory, log, whole, pass_fds, ownership.user)


def start(
    name: str, argv: list[str], directory: Path, log: Path, environment: Mapping[str, str],
    pass_fds: Sequence[int] = (), user: int | None = None,
) -> Component:
    """Start a command in ``directory`` with exactly this environment, as ``user`` (None: as we are); see :func:`spawn`."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(open_private(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab") as sink:
            process = subprocess.Popen(
                argv,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=UMASK,
                pass_fds=pass_fds,
                env=dict(environment),
                **options(user),
            )
    except OSError as error:
        raise EnvironmentFailed(f"{name} could not be started: {error}", log=log) from error
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
    offer_to_kernel(process.pid, SERVERS_SCORE)
    return Component(name, process, log, argv, directory, environment, pass_fds, user)


def process_options(directory: Path, ownership: Ownership) -> dict[str, Any]:
    """What ``subprocess`` is given for a process of an environment that is not one of its components."""
    return {"cwd": directory, "env": environment_for(directory, ownership), "umask": UMASK, **options(ownership.user)}


def environment_for(home: Path, ownership: Ownership) -> dict[str, str]:
    """The environment block of a process of an environment: what it needs, and nothing of the caller's shell.

    No proxies, no credentials, no settings of an Airflow that is used here for something else. ``home`` is where
    it may put what it keeps and what it does not. Its user has a name, whether there is an account or not: programs ask.
    """
    return {**inherited(), "HOME": str(home), "TMPDIR": str(home), "PYTHONUNBUFFERED": "1", **DATABASES,
            **dict.fromkeys(USER, USER_NAME), **ownership.mark}


def inherited() -> dict[str, str]:
    """What a process has of our own environment block."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ}


def offer_to_kernel(pid: int, score: int) -> None:
    """Have the kernel take this process, and what it starts, before others when memory runs out (0 to 1000).

    One that would be taken sooner already stays as it is: to be spared more is a privilege.
    """
    path = Path(f"/proc/{pid}/oom_score_adj")
    with contextlib.suppress(OSError, ValueError):
        if int(path.read_text()) < score:
            path.write_text(str(score))


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

