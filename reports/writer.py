"""Make all reports of a run directory."""

from __future__ import annotations

from pathlib import Path

from harness.measures import Result, evaluate
from harness.measures.result import as_json
from harness.record import evidence as evidences
from harness.selftest.planted import prove


def write(run: Path) -> Result:
    """Write ``report.json`` into a run directory; the result."""
    evidence = evidences.load(run)
    result = evaluate(evidence, prove(evidence))
    (run / "report.json").write_text(as_json(result))
    return result
