"""What an environment's parts wrote goes into the run directory before the environment goes."""

from __future__ import annotations

import shutil
from pathlib import Path

from harness import evidence as evidences
from harness.environments.base import Environment
from harness.journal import Journal


def keep_evidence(environment: Environment, output: Path, book: Journal) -> None:
    """Keep what an environment's parts wrote in the run directory, hashes in the journal."""
    shutil.copytree(environment.logs, output / "logs", dirs_exist_ok=True)
    sources = [("witness", "witness", environment.witness_log),
               ("links", "links", environment.link_log),
               ("usage", "usage", environment.usage_log)]
    sources += [("access", f"access-{role}-{path.parent.name}", path)
                for role, paths in environment.access_logs().items() for path in paths]
    for table, name, source in sources:
        if source.exists():
            evidences.store_lines(output, book, table, name, source)
