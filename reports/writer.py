"""Make all reports of a run directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness import evidence as evidences
from reports import document, html


def write(run: Path) -> dict[str, Any]:
    """Write ``report.json`` and ``report.html``; the report.

    Raises:
        FileNotFoundError, CorruptJournal: see :func:`harness.evidence.load`.
    """
    evidence = evidences.load(run)
    report = document.from_evidence(evidence)
    (run / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    html.write(run, report, evidence)
    return report
