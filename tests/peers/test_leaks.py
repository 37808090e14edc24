"""A secret in what a run leaves is found wherever it is, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from tests.peers.leaks import found_in

SECRETS = {"api_token": "0123456789abcdef"}
JWT = "eyJhbGciOiJIUzUxMiJ9.eyJzdWIiOiJhZG1pbiJ9.c2lnbmF0dXJlLi4u"


def parquet(path: Path, value: str) -> None:
    duckdb.sql(f"copy (select 1 as n, '{value}' as text) to '{path}' (format parquet, compression zstd)")


def test_a_secret_is_found_in_text_and_in_compressed_tables(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.log").write_text("token 0123456789abcdef")
    parquet(tmp_path / "table.parquet", "0123456789abcdef")
    parquet(tmp_path / "other.parquet", "0123456789abcdee")
    assert found_in([tmp_path], SECRETS) == [f"{tmp_path}/logs/a.log: api_token", f"{tmp_path}/table.parquet: api_token"]


@pytest.mark.parametrize(("text", "what"), [
    (f"Bearer {JWT}", "a JSON web token"), ("postgresql://airflow:hunter2@host/db", "a URL with a password"),
    ("-----BEGIN EC PRIVATE KEY-----", "a private key"), ("gAAAAA" + "B" * 80, "a Fernet ciphertext")])
def test_what_looks_like_a_secret_is_found_without_being_known(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "a.log").write_text(text)
    parquet(tmp_path / "b.parquet", text)
    assert found_in([tmp_path], {}) == [f"{tmp_path}/a.log: {what}", f"{tmp_path}/b.parquet: {what}"]


@pytest.mark.parametrize("text", [
    "postgresql://airflow:***@host/db", "http://127.0.0.1:8080/x@y", "arn:aws:iam::123456789012:role/x", "eyJ is no token",
    "postgresql://{user}:{password}@host"])
def test_what_is_no_secret_is_not_found(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.log").write_text(text)
    assert found_in([tmp_path], SECRETS) == []
