"""Reads a ``report.json`` back, for whatever compares the results of several runs."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from harness.measures.result import SCHEMA, Result
from loadgen.wire.bounded import Unreadable, read_bytes

FILE = "report.json"
LARGEST = 256 << 20
"""Bytes; at full size a report has a few MiB."""


def read(run: Path) -> Result:
    """The result that was written into a run directory.

    Raises:
        FileNotFoundError: when there is none.
        ValueError: when it is not one, or another version of dr-drill wrote it.
    """
    path = run / FILE
    try:
        found = json.loads(read_bytes(path, LARGEST))
    except Unreadable as error:
        raise ValueError(f"{path} {error}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not a report ({error}); 'drill report' makes it again") from error
    schema = found.pop("schema", None) if isinstance(found, dict) else None
    if schema != SCHEMA:
        raise ValueError(f"{path} is of schema {schema}, this version of dr-drill reads {SCHEMA}; "
                         "'drill report' makes it again from a run that this version can read")
    try:
        return Result.model_validate(found)
    except ValidationError as error:
        wrong = ", ".join(".".join(map(str, fault["loc"])) for fault in error.errors()[:3])
        raise ValueError(f"{path} is not a whole report ({wrong}); 'drill report' makes it again") from error
