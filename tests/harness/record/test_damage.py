"""A run directory with anything missing, cut or altered: a list of what is wrong, never a traceback, never a pass."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.measures import ExitCode, Result, evaluate
from harness.record import journal
from harness.record.evidence import DIRECTORY, DamagedRecord, Evidence, load
from harness.record.journal import OtherFormat
from harness.record.tables import Tables
from harness.selftest.planted import prove
from harness.testing import Story, fact, held
from tests.harness.measures.runs import outage

FILES = ("witness", "links", "usage", "access-primary-story", "before-1", "settled-2")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small whole run."""
    story = Story()
    story.start("a", targets={"writes-lost": 0})
    story.ack(90, 1)
    story.look(91, held({("a", "west/w", 1)}, more=[fact("pool", "a", "p", 1)]))
    story.probes(60, 102, "a")
    story.access["primary"] = [{"t": 1.0, "caller": "x", "service": "rds", "action": "GET"}]
    story.links.append({"t": 1.0, "event": "connect", "caller": "orchestrator", "site": "primary", "service": "aws"})
    story.usage.append({"t": 1.0, "group": "airflow", "part": "x", "processes": 1, "cpu_s": 1.0})
    story.settle(100, held({("a", "west/w", 1)}, more=[fact("pool", "a", "p", 1)]))
    return story.save(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(whole, tmp_path / "run"))


def book(run: Path) -> Path:
    return run / journal.FILE


def evidence_file(run: Path, name: str) -> Path:
    return run / DIRECTORY / f"{name}.parquet"


def problems(run: Path) -> list[str]:
    with pytest.raises(DamagedRecord) as refused:
        load(run)
    assert str(refused.value) == "\n".join(refused.value.problems)
    return refused.value.problems


def judged(evidence: Evidence) -> Result:
    return evaluate(evidence, prove)


def test_the_whole_run_is_whole(run: Path) -> None:
    assert judged(load(run)).exit_code == ExitCode.PASS
    assert {path.stem for path in (run / DIRECTORY).iterdir()} == set(FILES)


# -- evidence files ----------------------------------------------------------------------------------------------


def garbage(path: Path) -> None:
    path.write_bytes(b"garbage")


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])


def shortened(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def lengthened(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [garbage, emptied, halved, shortened, lengthened, flipped])
def test_an_evidence_file_that_was_altered_or_cut_is_named(run: Path, name: str, damage: Callable[[Path], None]) -> None:
    damage(evidence_file(run, name))
    assert problems(run) == [f"{evidence_file(run, name)} was changed after the run"]


@pytest.mark.parametrize("name", FILES)
def test_an_evidence_file_that_is_missing_is_named(run: Path, name: str) -> None:
    evidence_file(run, name).unlink()
    assert problems(run) == [f"{evidence_file(run, name)} is missing"]


def test_a_directory_in_place_of_a_file_is_no_file(run: Path) -> None:
    evidence_file(run, "witness").unlink()
    evidence_file(run, "witness").mkdir()
    assert problems(run) == [f"{evidence_file(run, 'witness')} is missing"]


@pytest.mark.parametrize("other", FILES[1:])
def test_two_evidence_files_that_were_exchanged_are_both_named(run: Path, other: str) -> None:
    one, two, aside = evidence_file(run, "witness"), evidence_file(run, other), run / "aside"
    one.rename(aside)
    two.rename(one)
    aside.rename(two)
    assert sorted(problems(run)) == sorted(f"{path} was changed after the run" for path in (one, two))


def test_everything_that_is_wrong_is_in_the_list(run: Path) -> None:
    shutil.rmtree(run / DIRECTORY)
    assert sorted(problems(run)) == sorted(f"{evidence_file(run, name)} is missing" for name in FILES)


def test_a_file_that_nobody_stored_does_no_harm(run: Path) -> None:
    (run / DIRECTORY / "more.parquet").write_text("hello")
    assert judged(load(run)).exit_code == ExitCode.PASS


def test_a_file_that_cannot_be_read_is_named(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("harness.record.evidence.sha256", denied)
    assert all("cannot be read" in problem for problem in problems(run))


# -- the journal -------------------------------------------------------------------------------------------------


def test_a_directory_without_a_journal_holds_no_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\n", b"hello\n", b"{}\n", b"\x00\xff\n", b"[]\n", b'"x"\n'])
def test_a_journal_that_is_none_is_damage(run: Path, content: bytes) -> None:
    book(run).write_bytes(content)
    assert len(problems(run)) == 1
    assert str(book(run)) in problems(run)[0]


def test_a_directory_in_place_of_the_journal_is_damage(run: Path) -> None:
    book(run).unlink()
    book(run).mkdir()
    assert str(book(run)) in problems(run)[0]


def test_a_journal_that_was_cut_anywhere_in_its_last_lines_lacks_its_end_and_says_so(run: Path) -> None:
    data = book(run).read_bytes()
    lines = data.splitlines(keepends=True)
    for size in range(len(data) - len(lines[-1]) - len(lines[-2]), len(data)):
        book(run).write_bytes(data[:size])
        assert "run.ended" not in [event.kind for event in journal.read(run)]
        assert journal.torn(run) is not data[:size].endswith(b"\n")


@pytest.mark.parametrize("bytes_left", [1, 20, 150, 300])
def test_a_journal_that_was_cut_in_its_last_lines_is_no_pass(run: Path, bytes_left: int) -> None:
    book(run).write_bytes(book(run).read_bytes()[:-bytes_left])
    evidence = load(run)
    assert evidence.gaps == ("the journal's last line was cut off while it was written",)
    assert judged(evidence).exit_code == ExitCode.BROKEN


def test_a_journal_that_ends_anywhere_is_no_pass(run: Path) -> None:
    lines = book(run).read_bytes().splitlines(keepends=True)
    for count in range(1, len(lines), 5):
        book(run).write_bytes(b"".join(lines[:count]))
        result = judged(load(run))
        assert (result.verdict, result.exit_code) == ("INCONCLUSIVE", ExitCode.BROKEN)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_journal_with_a_bit_that_was_flipped_is_no_pass(whole: Path, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(book(whole).read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    run = tmp_path / "flipped"
    if not run.exists():
        shutil.copytree(whole, run)
    book(run).write_bytes(content)
    try:
        evidence = load(run)
    except DamagedRecord as refused:
        assert refused.problems
    else:
        # Only the end of the last line can be taken for a line that was not finished.
        assert at == len(content) - 1
        assert judged(evidence).exit_code == ExitCode.BROKEN


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=400), keep=st.booleans())
def test_any_bytes_for_a_journal_are_refused(whole: Path, tmp_path: Path, content: bytes, keep: bool) -> None:
    run = tmp_path / "any"
    if not run.exists():
        shutil.copytree(whole, run)
    head = book(whole).read_bytes().splitlines(keepends=True)[0]
    book(run).write_bytes((head if keep else b"") + content)
    try:
        assert judged(load(run)).exit_code == ExitCode.BROKEN
    except DamagedRecord as refused:
        assert refused.problems


# -- an intact chain that holds what cannot be ----------------------------------------------------------------------


def rewritten(run: Path, change: Callable[[dict[str, Any]], list[dict[str, Any]]]) -> None:
    """Change records and make the chain anew: nothing but the records themselves can tell."""
    previous, found = journal.GENESIS, []
    records = [json.loads(line) for line in book(run).read_text().splitlines()]
    changed = [each for record in records for each in change(record)]
    for number, record in enumerate(changed, 1):
        body = {name: value for name, value in record.items() if name not in ("n", "p", "h")}
        text = json.dumps({"n": number, **body, "p": previous}, separators=(",", ":"))
        previous = hashlib.sha256(text.encode()).hexdigest()
        found.append(f'{text[:-1]},"h":"{previous}"}}\n')
    book(run).write_text("".join(found))


def every(kind: str, **changes: Any) -> Callable[[dict[str, Any]], list[dict[str, Any]]]:
    """Change the fields of all records of a kind; None takes one away."""

    def change(record: dict[str, Any]) -> list[dict[str, Any]]:
        if record["k"] != kind:
            return [record]
        return [{name: value for name, value in (record | changes).items() if value is not None}]

    return change


def test_a_chain_that_was_made_anew_without_a_change_is_whole(run: Path) -> None:
    rewritten(run, lambda record: [record])
    assert judged(load(run)).exit_code == ExitCode.PASS


def test_a_record_of_an_unknown_kind_is_named(run: Path) -> None:
    rewritten(run, every("fleet.up", k="nonsense"))
    assert problems(run) == [f"{book(run)}: record 4 is of a kind that this version does not know: nonsense"]


@pytest.mark.parametrize(("kind", "changes", "said"), [
    ("looked", {"began": None}, "began"), ("looked", {"snapshot": None}, "snapshot"), ("looked", {"began": "x"}, "began"),
    ("fleet.up", {"roles": 5}, "roles"), ("evidence", {"file": None}, "file"), ("evidence", {"file": 7}, "file"),
    ("evidence", {"rows": "many"}, "rows"), ("run.started", {"drill": {"name": 5}}, "drill"),
    ("settled", {"snapshot": 5}, "snapshot")])
def test_a_record_that_lacks_something_or_holds_another_type_is_named(
    run: Path, kind: str, changes: dict[str, Any], said: str
) -> None:
    rewritten(run, every(kind, **changes))
    assert problems(run)
    assert all(f"({kind}) is not whole" in problem and said in problem for problem in problems(run))


def test_all_records_that_cannot_be_read_are_listed(run: Path) -> None:
    rewritten(run, lambda record: [record | {"k": "what"}] if record["k"] in ("cleanup", "looked") else [record])
    assert len(problems(run)) == 2


@pytest.mark.parametrize("changes", [
    {"table": "nonsense"}, {"file": "../journal.jsonl"}, {"file": "/etc/passwd"}, {"sha256": "0"}, {"table": "held"},
    {"table": "access"}, {"file": "witness"}, {"rows": 5}])
def test_an_evidence_file_that_is_told_to_be_another_is_damage_or_no_pass(run: Path, changes: dict[str, Any]) -> None:
    rewritten(run, lambda record: [record | changes] if record.get("file") == "witness.parquet" else [record])
    try:
        evidence = load(run)
    except DamagedRecord as refused:
        assert refused.problems
    else:
        assert judged(evidence).verdict != "PASS"


def test_a_file_stored_twice_is_damage_or_no_pass(run: Path) -> None:
    rewritten(run, lambda record: [record] * (1 + (record.get("file") == "settled-2.parquet")))
    assert problems(run)


@pytest.mark.parametrize("sent", ["soon", {}, None, True])
def test_a_probe_that_cannot_be_read_is_damage_or_no_pass(run: Path, sent: Any) -> None:
    rewritten(run, every("probe", sent=sent))
    try:
        evidence = load(run)
    except DamagedRecord as refused:
        assert refused.problems
    else:
        assert judged(evidence).verdict != "PASS"


def replaced(run: Path, name: str, query: str) -> None:
    """Put another Parquet file in an evidence file's place, and its hash into the chain."""
    path = evidence_file(run, name)
    Tables().db.execute(f"copy ({query}) to '{path}' (format parquet, kv_metadata {{format: '2'}})")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    rewritten(run, lambda record: [record | {"sha256": digest}] if record.get("file") == path.name else [record])


@pytest.mark.parametrize("name", FILES)
def test_an_evidence_file_with_other_columns_is_damage(run: Path, name: str) -> None:
    replaced(run, name, "select 1 as nonsense")
    assert len(problems(run)) == 1
    assert f"{evidence_file(run, name)} has not the columns" in problems(run)[0]


def test_an_evidence_file_with_other_types_is_damage(run: Path) -> None:
    path = evidence_file(run, "witness")
    replaced(run, "witness", f"select * replace ('x' as t) from read_parquet('{path}')")
    assert f"{path} has not the columns" in problems(run)[0]


def test_an_evidence_file_with_other_rows_than_told_is_damage(run: Path) -> None:
    path = evidence_file(run, "witness")
    replaced(run, "witness", f"select * from read_parquet('{path}') where e <> 'ack'")
    assert problems(run) == [f"{path} has 103 rows, and had 104 when it was stored"]


def test_an_evidence_file_of_another_format_is_damage(run: Path) -> None:
    path = evidence_file(run, "witness")
    content = Tables()
    content.db.execute(f"create table kept as select * from read_parquet('{path}')")
    content.db.execute(f"copy kept to '{path}' (format parquet, kv_metadata {{format: '9'}})")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    rewritten(run, lambda record: [record | {"sha256": digest}] if record.get("file") == path.name else [record])
    assert problems(run) == [f"{path} has format 9, this version of dr-drill reads format 2"]


def test_garbage_whose_hash_is_in_the_chain_is_damage(run: Path) -> None:
    path = evidence_file(run, "witness")
    path.write_bytes(b"garbage")
    digest = hashlib.sha256(b"garbage").hexdigest()
    rewritten(run, lambda record: [record | {"sha256": digest}] if record.get("file") == path.name else [record])
    assert str(path) in problems(run)[0]


# -- other versions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [every("journal", format=1), every("journal", format=3), every("journal", format="x"),
                                    every("journal", k="run.started"), lambda r: [] if r["k"] == "journal" else [r]])
def test_a_run_of_another_version_is_refused_in_one_line(run: Path, change: Any) -> None:
    rewritten(run, change)
    with pytest.raises(OtherFormat) as refused:
        load(run)
    assert "\n" not in str(refused.value)
    assert "version" in str(refused.value)


# -- an evaluation that meets what nobody thought of --------------------------------------------------------------


@pytest.mark.parametrize("kind", ["run.started", "environment.up", "fleet.up", "looked", "settled", "cleanup", "run.ended",
                                  "evidence", "probe"])
def test_a_run_without_any_record_of_a_kind_is_no_pass(run: Path, kind: str) -> None:
    rewritten(run, lambda record: [] if record["k"] == kind else [record])
    try:
        result = judged(load(run))
    except DamagedRecord as refused:
        assert refused.problems
    else:
        # What simulates is only told, and an environment that was left is a matter of its own.
        assert result.exit_code != ExitCode.PASS or kind == "environment.up"


def test_a_run_that_was_killed_at_each_of_its_records_is_no_pass(tmp_path: Path) -> None:
    whole = outage().save(tmp_path / "whole")
    lines = book(whole).read_bytes().splitlines(keepends=True)
    cut = tmp_path / "cut"
    shutil.copytree(whole, cut)
    for count in range(1, len(lines), 7):
        book(cut).write_bytes(b"".join(lines[:count]))
        assert judged(load(cut)).exit_code == ExitCode.BROKEN
    assert os.listdir(cut / DIRECTORY)
