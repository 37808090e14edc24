"""From a run directory to report.json and report.html, and back."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest

import reports
from harness.measures import ExitCode, Result
from harness.measures.result import SCHEMA_FILE, as_json, json_schema
from harness.record.evidence import DamagedRecord
from harness.testing import Story
from reports import html, reader, writer
from tests.harness.measures.runs import outage

RENDERERS = sorted(path for path in Path(reports.__file__).parent.glob("*.py") if path.name != "writer.py")


def test_a_run_directory_gets_both_reports_and_the_result_is_returned(tmp_path: Path) -> None:
    run = outage().save(tmp_path / "run")
    result = writer.write(run)
    assert result.exit_code == ExitCode.PASS
    assert result.proof is not None
    assert (run / "report.json").read_text() == as_json(result)
    assert "<h1>D</h1>" in (run / "report.html").read_text()
    assert not list(run.glob(".report*"))


def test_reports_can_be_made_again_from_the_record(tmp_path: Path) -> None:
    run = outage().save(tmp_path / "run")
    writer.write(run)
    first = (run / "report.json").read_text()
    (run / "report.json").write_text("cut off")
    writer.write(run)
    assert without_seconds((run / "report.json").read_text()) == without_seconds(first)


def without_seconds(text: str) -> str:
    """The time that the proof took is another one each time."""
    return re.sub(r'"seconds": [\d.]+\n', "", text)


def test_a_link_in_a_run_directory_leads_no_report_elsewhere(tmp_path: Path) -> None:
    run = outage().save(tmp_path / "run")
    precious = tmp_path / "precious"
    precious.write_text("mine")
    for name in (".report.json.new", ".report.html.new", "report.json", "report.html"):
        (run / name).symlink_to(precious)
    writer.write(run)
    assert precious.read_text() == "mine"
    assert not (run / "report.html").is_symlink()


def test_a_report_that_could_not_be_finished_leaves_the_old_one(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = outage().save(tmp_path / "run")
    writer.write(run)
    old = (run / "report.html").read_bytes()
    monkeypatch.setattr(html, "render", lambda result: "\ud800 is no text")
    with pytest.raises(UnicodeEncodeError):
        writer.write(run)
    assert (run / "report.html").read_bytes() == old
    assert not list(run.glob(".report*"))


def test_a_record_that_was_altered_gets_no_report(tmp_path: Path) -> None:
    run = outage().save(tmp_path / "run")
    next((run / "evidence").glob("witness*")).unlink()
    with pytest.raises(DamagedRecord):
        writer.write(run)
    assert not (run / "report.json").exists()


def test_a_report_is_read_back_as_it_was(tmp_path: Path, failed: Result) -> None:
    (tmp_path / "report.json").write_text(as_json(failed))
    assert reader.read(tmp_path) == failed


@pytest.mark.parametrize("text", ['{"schema": "dr-drill/report/v1"}', "[]", "{}"])
def test_a_report_of_another_version_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(ValueError, match="this version of dr-drill reads dr-drill/result/v2") as refused:
        reader.read(tmp_path)
    assert "\n" not in str(refused.value)


def test_the_published_schema_is_up_to_date() -> None:
    assert SCHEMA_FILE.read_text() == json_schema(), "run: ./dev python -m harness.measures.result"


def test_results_fit_the_published_schema(failed: Result) -> None:
    schema = json.loads(SCHEMA_FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    judge = jsonschema.Draft202012Validator(schema)
    empty = Story()
    empty.event(0, "run.started", run_id="r1")
    for result in (failed, outage().result(), empty.result()):
        judge.validate(json.loads(as_json(result)))


def test_what_is_no_result_does_not_fit_the_published_schema(failed: Result) -> None:
    judge = jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text()))
    document = json.loads(as_json(failed))
    for wrong in ({"verdict": "FINE"}, {"surplus": 1}, {"targets": [{"name": "x"}]}):
        assert not judge.is_valid(document | wrong)


@pytest.mark.parametrize("path", RENDERERS, ids=lambda path: path.name)
def test_a_renderer_looks_nothing_up_and_reads_no_time_stamp(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"duckdb|\bselect\b|Evidence|\bTables\b|harness\.record|fromisoformat|strptime", text)
