"""Where an embedded environment keeps what it is: directories, settings, and who owns it."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.environments.embedded.addresses import Site

ROLES = {"primary": Site.PRIMARY, "secondary": Site.SECONDARY}


@dataclass(frozen=True)
class PairSettings:
    """What a drill file says about its embedded pair."""

    primary: str = "us-west-2"
    secondary: str = "us-east-2"
    head_delay: float = 0.0
    task_seconds: float = 30.0
    task_retries: int = 2
    canary_seconds: float = 10.0
    rpo_bound: float | None = 20.0
    drain: float = 30.0


def environments_root() -> Path:
    """Where all embedded environments of this machine live (short, and not below anyone's home)."""
    home = os.environ.get("DR_DRILL_HOME")
    return Path(home) / "dr-drill" if home else Path(tempfile.gettempdir()) / f"dr-drill-{os.getuid()}"


def leases_root() -> Path:
    """Where the leases of address blocks are: one place for all users of this machine."""
    return Path(tempfile.gettempdir()) / "dr-drill-blocks"


def process_start(pid: int) -> int | None:
    """When a process began (kernel ticks), to tell it from a later one with the same id."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19])
    except OSError:
        return None


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, from its first byte on."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as sink:
        sink.write(text)
