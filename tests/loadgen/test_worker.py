"""A Locust worker on another host: what it needs to reach, and what it says when it cannot."""

import json
import os
from pathlib import Path

import pytest

from loadgen import worker
from loadgen.load import Workers
from loadgen.worker import WorkerFailed, addresses, work

CONFIG = {"master": ["127.9.3.10", 5557], "dns": ["127.9.3.10", 5353], "port": 8080,
          "witness": ["127.9.3.11", 7411, "token"], "regions": {"127.9.1.9": "west", "127.9.2.9": "east"}}


def test_it_reaches_the_master_the_names_the_witness_and_both_regions() -> None:
    assert addresses(CONFIG) == [("127.9.1.9", 8080), ("127.9.2.9", 8080), ("127.9.3.10", 5353),
                                 ("127.9.3.10", 5557), ("127.9.3.11", 7411)]


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ``ssh`` that writes down how it is called and runs commands here."""
    program = tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$@" >> "$SSH_CALLS"\n'
                       'for last; do :; done\ncase "$*" in *-N*) echo "no such host" >&2; exit 255;; esac\n'
                       'sh -c "$last"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SSH_CALLS", str(tmp_path / "calls"))
    return tmp_path / "calls"


def test_every_address_is_forwarded_under_the_same_address_and_ssh_that_ends_is_said(
    ssh: Path, tmp_path: Path
) -> None:
    (tmp_path / "load it.json").write_text(json.dumps(CONFIG))
    with pytest.raises(WorkerFailed, match="ssh me@there ended: no such host"):
        work(str(tmp_path / "load it.json"), "me@there")
    fetched, forwarded = ssh.read_text().splitlines()
    assert "cat" in fetched
    for host, port in addresses(CONFIG):
        assert f"-L {host}:{port}:{host}:{port}" in forwarded


def test_addresses_that_never_answer_are_named(
    ssh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin" / "ssh").write_text('#!/bin/sh\ncase "$*" in *-N*) exec sleep 60;; esac\n'
                                          'for last; do :; done\nsh -c "$last"\n')
    monkeypatch.setattr(worker, "FORWARDED_S", 1.0)
    (tmp_path / "load.json").write_text(json.dumps(CONFIG))
    with pytest.raises(WorkerFailed, match=r"nobody answers through me@there at 127\.9\.1\.9:8080"):
        work(str(tmp_path / "load.json"), "me@there")


def test_a_file_that_is_not_there_or_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(WorkerFailed, match="cannot be read"):
        work(str(tmp_path / "none.json"), None)
    with pytest.raises(WorkerFailed, match="is a device, not a regular file"):
        work("/dev/zero", None)


@pytest.mark.parametrize("content", [b"{}", b"", b"\x7fELF\xd0\xff", b"[" * 100_000, b'"\\ud800', json.dumps(
    {**CONFIG, "port": float("inf")}).encode()])
@pytest.mark.parametrize("through", [None, "me@there"])
def test_whatever_is_no_configuration_is_said(
        ssh: Path, tmp_path: Path, content: bytes, through: str | None) -> None:
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(WorkerFailed, match="other is not a load's configuration"):
        work(str(tmp_path / "other"), through)


def test_locust_takes_nothing_from_where_somebody_happens_to_stand(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\n[ "$1" = -P ] && pwd > "$SEEN"\n')
    python.chmod(0o755)
    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))
    monkeypatch.setattr("sys.executable", str(python))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "load.json").write_text(json.dumps(CONFIG))
    assert work("load.json", None) == 0
    assert Path((tmp_path / "seen").read_text().strip()).name.startswith("drill-worker-")


def test_a_host_is_no_option_of_ssh(ssh: Path, tmp_path: Path) -> None:
    (tmp_path / "load.json").write_text(json.dumps(CONFIG))
    with pytest.raises(WorkerFailed):
        work(str(tmp_path / "load.json"), "-oProxyCommand=id")
    assert all("-- -oProxyCommand=id" in call for call in ssh.read_text().splitlines())


def test_workers_are_counted_here_and_elsewhere() -> None:
    assert Workers.parse("2+3") == Workers(2, 3)
    assert Workers.parse("2").count == 2
    for wrong in ("x", "-1", "1+-2", "65", "", "+1", "1+", "1+2+3", " 1", "1\n", "1_0", "\N{ARABIC-INDIC DIGIT ONE}", "9" * 5000):
        with pytest.raises(ValueError, match="workers"):
            Workers.parse(wrong)
