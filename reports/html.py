"""``report.html``: one self-contained page that a manager can read and an auditor can check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from harness.claims import CLAIMS
from harness.durations import show_duration
from harness.evidence import Evidence
from harness.measures import audit, exposure, resources, rpo, rto, split_brain, tasks, timeline
from reports import charts

DEFINITIONS = {"Timeline": timeline, "RTO": rto, "RPO": rpo, "Split brain": split_brain,
               "Tasks": tasks, "Dependency audit": audit, "Exposure": exposure,
               "Resources": resources}


def render(report: dict[str, Any], evidence: Evidence) -> str:
    """The page for a report and the evidence that it was made from."""
    environment = Environment(
        loader=PackageLoader("reports"), autoescape=select_autoescape(), trim_blocks=True,
        lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters["duration"] = lambda s: "not measured" if s is None else show_duration(s)
    pictures = {
        "timeline": Markup(charts.timeline(evidence, report)),
        "running": Markup(charts.running_tasks(evidence)) if evidence.tables.value(
            "select count(*) from samples") else "",
        "transitions": [
            {"restoration": Markup(charts.restoration(t)), "ledger": Markup(charts.ledger(evidence, t))}
            for t in report["transitions"]
        ],
    }
    meanings = {name: _paragraphs(module.__doc__ or "") for name, module in DEFINITIONS.items()}
    return environment.get_template("report.html.j2").render(
        report=report, pictures=pictures, claims_text=CLAIMS, meanings=meanings)


def write(directory: Path, report: dict[str, Any], evidence: Evidence) -> Path:
    """Write the page into a run directory."""
    path = directory / "report.html"
    path.write_text(render(report, evidence))
    return path


def _paragraphs(text: str) -> list[str]:
    return [" ".join(part.split()) for part in text.strip().split("\n\n")]
