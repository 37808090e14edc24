"""What an environment's parts wrote comes into the run directory before the environment goes."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from harness.environments.base import Environment, Epoch
from harness.record import collecting
from harness.record import evidence as evidences
from harness.record.collecting import EvidenceLost, collect, copy_lines
from harness.record.events import EpochBegan, EvidenceStored, Gap
from harness.record.evidence import Evidence, load
from harness.record.journal import Journal


class Parts:
    """An environment whose parts have written what a test says."""

    def __init__(self, directory: Path) -> None:
        self.logs = directory / "logs"
        self.logs.mkdir(parents=True)
        self.witness_log, self.link_log, self.usage_log = (directory / f"{name}.jsonl" for name in ("w", "l", "u"))
        self._access: dict[str, list[Path]] = {}
        self._spools: list[Path] = []
        self._epochs: list[Epoch] = []
        self._epoch_gaps: list[str] = []
        self.directory = directory

    def access_logs(self) -> dict[str, list[Path]]:
        return self._access

    def spools(self) -> list[Path]:
        return self._spools

    def epochs(self) -> list[Epoch]:
        return self._epochs

    def epoch_gaps(self) -> list[str]:
        return self._epoch_gaps

    def serves(self, role: str, server: str, *lines: dict[str, Any]) -> None:
        path = self.directory / role / server / "access.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text(text(*lines))
        self._access.setdefault(role, []).append(path)

    def keeps(self, name: str, content: str) -> None:
        path = self.directory / f"{name}.spool"
        path.write_text(content)
        self._spools.append(path)


def text(*records: dict[str, Any]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return Parts(tmp_path / "environment")


def collected(parts: Parts, tmp_path: Path) -> Evidence:
    book = Journal(tmp_path / "run")
    collect(cast(Environment, parts), tmp_path / "run", book)
    book.close()
    return load(tmp_path / "run")


def test_every_part_is_a_table(parts: Parts, tmp_path: Path) -> None:
    parts.witness_log.write_text(text({"e": "ack", "t": 1.0}, {"e": "ack", "t": 2.0}))
    parts.link_log.write_text(text({"event": "connect", "t": 1.0}))
    parts.usage_log.write_text(text({"t": 1.0, "group": "airflow", "part": "x"}))
    parts.serves("primary", "aws", {"t": 1.0, "service": "rds"})
    parts.serves("global", "aws", {"t": 1.0, "service": "iam"}, {"t": 2.0, "service": "iam"})
    evidence = collected(parts, tmp_path)
    assert evidence.stored == {"witness": 2, "links": 1, "usage": 1, "access": 3}
    assert set(evidence.stored) | {"held"} == set(collecting.PROMISED)
    assert sorted(e.file for e in evidence.of(EvidenceStored)) == [
        "access-global-aws.parquet", "access-primary-aws.parquet", "links.parquet", "usage.parquet", "witness.parquet"]


def test_a_part_that_never_wrote_is_not_stored(parts: Parts, tmp_path: Path) -> None:
    parts.witness_log.write_text(text({"e": "ack", "t": 1.0}))
    assert collected(parts, tmp_path).stored == {"witness": 1}


def test_what_the_databases_say_of_their_reigns_comes_into_the_journal(parts: Parts, tmp_path: Path) -> None:
    parts._epochs = [Epoch(None, 2, "east", 105.0, 0.05, "postgresql log of east")]
    found, = collected(parts, tmp_path).of(EpochBegan)
    assert (found.deployment, found.number, found.site, found.began, found.error, found.source) == (
        None, 2, "east", 105.0, 0.05, "postgresql log of east")


def test_a_reign_that_the_databases_cannot_tell_of_is_a_gap(parts: Parts, tmp_path: Path) -> None:
    parts._epoch_gaps = ["the log of east begins too late"]
    assert "the log of east begins too late" in [gap.reason for gap in collected(parts, tmp_path).of(Gap)]


def test_a_part_that_never_wrote_anything_is_a_gap(parts: Parts, tmp_path: Path) -> None:
    parts.link_log.unlink(missing_ok=True)
    assert any(gap.reason.startswith("there is no evidence links") for gap in collected(parts, tmp_path).of(Gap))


def test_logs_for_people_are_copied(parts: Parts, tmp_path: Path) -> None:
    (parts.logs / "x").mkdir()
    (parts.logs / "x" / "server.log").write_text("hello")
    collected(parts, tmp_path)
    assert (tmp_path / "run" / "logs" / "x" / "server.log").read_text() == "hello"


# -- what clients could not send ---------------------------------------------------------------------------------------


def test_what_clients_could_not_send_is_evidence_and_marked_late(parts: Parts, tmp_path: Path) -> None:
    parts.witness_log.write_text(text({"e": "ack", "t": 1.0, "cl": "c", "q": 1}))
    parts.keeps("one", text({"e": "ack", "t": 2.0, "cl": "c", "q": 2}))
    parts.keeps("two", text({"e": "ack", "t": 3.0, "cl": "d", "q": 1}))
    parts.keeps("three", "")
    rows = collected(parts, tmp_path).tables.rows("select t, late from witness order by t")
    assert rows == [{"t": 1.0}, {"t": 2.0, "late": True}, {"t": 3.0, "late": True}]


def test_what_was_kept_and_sent_all_the_same_counts_once(parts: Parts, tmp_path: Path) -> None:
    parts.witness_log.write_text(text({"e": "ack", "t": 1.0, "cl": "c", "q": 1}, {"e": "ack", "t": 1.0, "cl": "d", "q": 2}))
    parts.keeps("one", text(*({"e": "ack", "t": float(n), "cl": "c", "q": n} for n in (1, 2))))
    rows = collected(parts, tmp_path).tables.rows("select cl, q, late from witness order by cl, q")
    assert rows == [{"cl": "c", "q": 1}, {"cl": "c", "q": 2, "late": True}, {"cl": "d", "q": 2}]


@pytest.mark.parametrize("torn", ['{"e":"ack","t":', "garbage", "5", "[1]"])
def test_a_kept_line_that_cannot_be_read_is_counted(parts: Parts, tmp_path: Path, torn: str) -> None:
    parts.keeps("one", text({"e": "ack", "t": 1.0}) + torn)
    evidence = collected(parts, tmp_path)
    stored, = evidence.of(EvidenceStored)
    assert (stored.rows, stored.unreadable) == (1, 1)
    assert evidence.gaps


def test_without_anything_kept_there_is_no_file_of_it(parts: Parts, tmp_path: Path) -> None:
    parts.witness_log.write_text(text({"e": "ack", "t": 1.0}))
    parts.keeps("one", "")
    assert [e.file for e in collected(parts, tmp_path).of(EvidenceStored)] == ["witness.parquet"]


# -- files that grow -----------------------------------------------------------------------------------------------------


def test_a_file_that_rests_is_copied_as_it_is(tmp_path: Path) -> None:
    source, target = tmp_path / "s", tmp_path / "t"
    for content in ("", "one\ntwo\n", "one\ntw", "torn"):
        source.write_text(content)
        copy_lines(source, target)
        assert target.read_text() == content


@pytest.mark.parametrize(("there", "copied"), [("one\ntw", "one\n"), ("one\n", "one\n"), ("tw", "")])
def test_a_file_that_is_written_is_copied_up_to_its_last_whole_line(
    tmp_path: Path, there: str, copied: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "s", tmp_path / "t"
    source.write_text(there)
    real = collecting._tail_after_last_line

    def meanwhile(reader: Any, size: int) -> int:
        with source.open("a") as sink:
            sink.write("o\nthree\n")
        return real(reader, size)

    monkeypatch.setattr(collecting, "_tail_after_last_line", meanwhile)
    copy_lines(source, target)
    assert target.read_text() == copied


def test_a_long_file_is_copied_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "CHUNK", 16)
    source, target = tmp_path / "s", tmp_path / "t"
    source.write_text("0123456789\n" * 100)
    copy_lines(source, target)
    assert target.read_text() == source.read_text()


# -- when something cannot be kept ------------------------------------------------------------------------------------


def fail(*_: Any) -> Any:
    raise ZeroDivisionError("a bug")


def test_what_a_part_put_in_the_place_of_its_evidence_is_not_read(parts: Parts, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text('{"e": "ack", "cl": "root"}\n')
    parts.link_log.symlink_to(tmp_path / "precious")
    parts.serves("primary", "aws", {"who": "workload"})
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "access.jsonl").write_text((tmp_path / "precious").read_text())
    (log,) = parts.access_logs()["primary"]
    log.unlink()
    log.parent.rmdir()
    log.parent.symlink_to(tmp_path / "elsewhere")
    parts.keeps("client", "")
    (spool,) = parts.spools()
    spool.unlink()
    spool.symlink_to(tmp_path / "precious")
    os.mkfifo(parts.usage_log)  # reading it would wait for ever
    with pytest.raises(EvidenceLost) as lost:
        collected(parts, tmp_path)
    assert "is a link, not a regular file" in str(lost.value)
    assert "is a pipe, not a regular file" in str(lost.value)
    assert "access-primary-aws: is somewhere else, behind a link" in str(lost.value)
    kept = b"".join(path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file())
    assert b"precious" not in kept.replace(str(tmp_path).encode(), b"")
    assert b'"cl": "root"' not in kept


def test_one_part_that_cannot_be_kept_costs_no_other(parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts.link_log.write_text(text({"event": "connect", "t": 1.0}))
    parts.witness_log.mkdir()
    monkeypatch.setattr(parts, "epochs", fail)
    book = Journal(tmp_path / "run")
    with pytest.raises(EvidenceLost, match=r"epochs: a bug; witness: .*directory"):
        collect(cast(Environment, parts), tmp_path / "run", book)
    book.close()
    assert load(tmp_path / "run").stored == {"links": 1}


def test_a_collection_that_was_cut_off_is_continued(parts: Parts, tmp_path: Path) -> None:
    parts._epochs = [Epoch(None, 1, "west", 1.0, 0.0, "log"), Epoch(None, 2, "east", 2.0, 0.0, "log")]
    parts.witness_log.write_text(text({"e": "ack", "t": 1.0}))
    parts.usage_log.write_text(text({"t": 1.0, "group": "airflow", "part": "x"}))
    before = [EpochBegan(deployment=None, number=1, site="west", began=1.0)]
    book = Journal(tmp_path / "run")
    book.append(before[0])
    evidences.store(tmp_path / "run", book, "witness", "witness", partial(copy_lines, parts.witness_log))
    stored = EvidenceStored(file="witness.parquet", table="witness", sha256="")
    collect(cast(Environment, parts), tmp_path / "run", book, [*before, stored])
    book.close()
    evidence = load(tmp_path / "run")
    assert [e.number for e in evidence.of(EpochBegan)] == [1, 2]
    assert evidence.stored == {"witness": 1, "usage": 1}
