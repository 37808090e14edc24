"""Whole drills, run by the ``drill`` command in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.environments.embedded.ownership import Ownership, environments
from harness.environments.embedded.postgres_programs import binaries


@dataclass
class Home:
    """A place of its own for a test's environments and runs."""

    path: Path

    @property
    def environments(self) -> list[Path]:
        """Directories of environments that exist."""
        root = self.path / "dr-drill" / "envs"
        return sorted(root.iterdir()) if root.exists() else []

    def drill(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start the command; its output goes to a file."""
        with (self.path / "output.txt").open("a") as sink:
            return subprocess.Popen(
                [sys.executable, "-m", "harness.cli.main", *arguments], cwd=self.path, text=True,
                stdout=sink, stderr=subprocess.STDOUT,
                env={**os.environ, "DR_DRILL_HOME": str(self.path)}, **options)

    def finish(self, *arguments: str, timeout: float = 800) -> int:
        """Run the command to its end; the exit code."""
        return self.drill(*arguments).wait(timeout)

    @property
    def ownerships(self) -> list[Ownership]:
        """Of its environments, and of those that have nothing left but their processes."""
        return [Ownership.of(directory) for directory in environments(self.path / "dr-drill")]

    @property
    def output(self) -> str:
        """What the commands have printed."""
        return (self.path / "output.txt").read_text()

    def file(self, text: str) -> str:
        """Write a drill file; its path."""
        path = self.path / "drill.yaml"
        path.write_text(text)
        return str(path)

    def kinds(self, run: str) -> list[str]:
        """The kinds of the events that a run's journal holds so far."""
        path = self.path / run / "journal.jsonl"
        if not path.exists():
            return []
        return [json.loads(line)["k"] for line in path.read_text().splitlines() if line.endswith("}")]

    def processes(self) -> set[int]:
        """Processes of any environment of this home."""
        return {pid for ownership in self.ownerships for pid in ownership.processes()}


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home below a short path that an unprivileged PostgreSQL can enter."""
    import shutil
    import tempfile

    path = Path(tempfile.mkdtemp(prefix="drill-e2e-"))
    path.chmod(0o711)
    made = Home(path)
    yield made
    for ownership in made.ownerships:
        ownership.kill()
    shutil.rmtree(path, ignore_errors=True)


def until(condition: Callable[[], Any], timeout: float = 240.0) -> Any:
    """Wait for a condition; its value."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.2)
    return value


def psql(environment: Path, service: str, database: str, sql: str) -> str:
    """Ask a region's PostgreSQL with the real psql."""
    done = subprocess.run(
        [str(binaries() / "psql"), f"service={service} dbname={database}", "-At", "-c", sql],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PGSERVICEFILE": str(environment / "pg_service.conf")})
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
