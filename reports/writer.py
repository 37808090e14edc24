"""From a run directory to its result and its reports; they can be made again years later."""

from __future__ import annotations

import os
from pathlib import Path

from harness.measures import Result, evaluate
from harness.measures.result import as_json
from harness.record import evidence as evidences
from harness.selftest.planted import prove
from reports import html
from reports.reader import FILE

PAGE = "report.html"


def write(run: Path) -> Result:
    """Write ``report.json`` and ``report.html`` into a run directory; the result.

    A reader finds the old reports or the new ones, never half of one.

    Raises:
        FileNotFoundError: when the directory holds no journal.
        OtherFormat: when another version of dr-drill wrote it.
        DamagedRecord: when the record is not what it was, with all that is wrong.
    """
    result = evaluate(evidences.load(run), prove)
    _replace(run / FILE, as_json(result))
    _replace(run / PAGE, html.render(result))
    return result


def _replace(path: Path, text: str) -> None:
    """Write a new file beside the old one, then put it in its place."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)  # a link that somebody has left there is not followed
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "w", encoding="utf-8") as sink:
            sink.write(text)
            sink.flush()
            os.fsync(sink.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
