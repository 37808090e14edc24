"""Where an embedded environment keeps what it is: directories and settings.

All environments of a user lie below one directory: ``envs/ID`` is what an environment keeps and works in, and
``locks/ID`` the file that says whose it is (see ``ownership``). The latter is not in the former, so that it can
be there first, and still be there should the former be deleted.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.environments.embedded.addresses import Site
from harness.environments.embedded.private import PASSABLE_DIRECTORY, make_directory

ROLES = {"primary": Site.PRIMARY, "secondary": Site.SECONDARY}
ENVIRONMENTS, LOCKS = "envs", "locks"


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
    """Where all embedded environments of this user live (short, and not below anyone's home)."""
    home = os.environ.get("DR_DRILL_HOME")
    return Path(home).absolute() / "dr-drill" if home else Path(tempfile.gettempdir()) / f"dr-drill-{os.getuid()}"


def make_root() -> Path:
    """The same, with what is always in it, made if it is not there.

    Raises:
        UntrustedPlace: when somebody else has made it, or may write to it.
        OSError: when it cannot be made.
    """
    root = environments_root()
    root.parent.mkdir(parents=True, exist_ok=True)
    # PostgreSQL, as another user than root, has to pass through to what is its own; it cannot list them.
    through = PASSABLE_DIRECTORY if os.geteuid() == 0 else 0o700
    make_directory(root, through)
    make_directory(root / ENVIRONMENTS, through)
    make_directory(root / LOCKS)
    return root
