"""Reads a ``report.json`` back, for whatever compares the results of several runs."""

from __future__ import annotations

import json
from pathlib import Path

from harness.measures.result import SCHEMA, Result

FILE = "report.json"


def read(run: Path) -> Result:
    """The result that was written into a run directory.

    Raises:
        FileNotFoundError: when there is none.
        ValueError: when it is not one, or another version of dr-drill wrote it.
    """
    path = run / FILE
    found = json.loads(path.read_text(encoding="utf-8"))
    schema = found.pop("schema", None) if isinstance(found, dict) else None
    if schema != SCHEMA:
        raise ValueError(f"{path} is of schema {schema}, this version of dr-drill reads {SCHEMA}; "
                         "'drill report' makes it again from a run that this version can read")
    return Result.model_validate(found)
