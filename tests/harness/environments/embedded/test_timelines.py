"""When a writer's reign began, as PostgreSQL's own log tells it."""

import json
from pathlib import Path

import pytest

from harness.environments.base import Epoch
from harness.environments.embedded.environment import EmbeddedPair
from harness.environments.embedded.postgres import SETTINGS, log_of
from harness.environments.embedded.timelines import Timeline, timelines

FIRST_LIFE = """\
1000.100 LOG:  starting PostgreSQL 18.6 on x86_64-pc-linux-gnu, compiled by gcc (GCC) 14.2.1, 64-bit
1000.101 LOG:  listening on IPv4 address "127.9.1.5", port 5432
1000.110 LOG:  database system was shut down at 2026-11-25 00:36:54 GMT
1000.140 LOG:  database system is ready to accept connections
"""
RESTART = """\
1100.000 LOG:  starting PostgreSQL 18.6 on x86_64-pc-linux-gnu, compiled by gcc (GCC) 14.2.1, 64-bit
1100.010 LOG:  database system was interrupted; last known up at 2026-11-25 00:37:54 GMT
1100.020 LOG:  database system was not properly shut down; automatic recovery in progress
1100.025 LOG:  checkpoint starting: end-of-recovery immediate wait
1100.030 LOG:  database system is ready to accept connections
"""
STANDBY = """\
1001.000 LOG:  starting PostgreSQL 18.6 on x86_64-pc-linux-gnu, compiled by gcc (GCC) 14.2.1, 64-bit
1001.010 LOG:  database system was interrupted; last known up at 2026-11-25 00:36:54 GMT
1001.011 LOG:  entering standby mode
1001.012 LOG:  consistent recovery state reached at 0/2000120
1001.013 LOG:  database system is ready to accept read-only connections
1001.020 LOG:  started streaming WAL from primary at 0/3000000 on timeline 1
"""
SELECTED = "1200.000 LOG:  selected new timeline ID: 2\n"
RECOVERED = "1200.010 LOG:  archive recovery complete\n"
CHECKPOINT = "1200.014 LOG:  checkpoint starting: force\n"
READY = "1200.020 LOG:  database system is ready to accept connections\n"


def read(text: str) -> list[Timeline]:
    return timelines(text.splitlines())


def begun(text: str) -> list[tuple[int, float, float | None]]:
    return [(found.number, round(found.began, 6), found.error and round(found.error, 6)) for found in read(text)]


def test_every_line_of_the_server_is_stamped_with_its_epoch_second() -> None:
    assert (SETTINGS["log_line_prefix"], SETTINGS["lc_messages"]) == ("'%n '", "'C'")


def test_the_first_writer_reigns_from_when_it_is_ready_for_the_first_time() -> None:
    assert begun(FIRST_LIFE) == [(1, 1000.140, 0.001)]


def test_a_writer_that_starts_again_begins_no_new_reign() -> None:
    assert begun(FIRST_LIFE + RESTART) == [(1, 1000.140, 0.001)]


def test_a_standby_does_not_reign() -> None:
    assert begun(STANDBY) == []


def test_a_standby_that_follows_another_servers_timeline_does_not_reign() -> None:
    assert begun(STANDBY + "1201.000 LOG:  new target timeline is 2\n"
                           "1201.001 LOG:  restarted WAL streaming at 0/3000000 on timeline 2\n") == []


def test_a_standby_that_starts_again_as_one_does_not_reign() -> None:
    assert begun(STANDBY + STANDBY) == []


def test_a_promotion_began_halfway_between_the_end_of_recovery_and_the_first_word_of_an_open_server() -> None:
    assert begun(STANDBY + SELECTED + RECOVERED + CHECKPOINT + READY) == [(2, 1200.012, 0.003)]
    assert begun(STANDBY + SELECTED + RECOVERED + READY + CHECKPOINT) == [(2, 1200.015, 0.006)]
    assert begun(STANDBY + SELECTED + READY) == [(2, 1200.010, 0.011)]


def test_a_promoted_writer_that_starts_again_begins_no_new_reign() -> None:
    assert begun(STANDBY + SELECTED + RECOVERED + READY + RESTART) == [(2, 1200.015, 0.006)]


def test_a_server_may_reign_more_than_once() -> None:
    third = "1300.000 LOG:  selected new timeline ID: 3\n1300.002 LOG:  database system is ready to accept connections\n"
    assert [found.number for found in read(FIRST_LIFE + STANDBY + third)] == [1, 3]


def test_a_promotion_that_has_not_ended_has_no_known_begin() -> None:
    assert begun(STANDBY + SELECTED) == [(2, 1200.000, None)]
    assert begun(STANDBY + SELECTED + RECOVERED) == [(2, 1200.010, None)]


def test_a_promotion_that_was_cut_short_has_no_known_begin_even_if_the_server_is_ready_later() -> None:
    assert begun(STANDBY + SELECTED + RECOVERED + RESTART) == [(2, 1200.010, None)]
    assert begun(STANDBY + SELECTED + RECOVERED + STANDBY) == [(2, 1200.010, None)]


def test_a_promotion_that_was_cut_short_is_told_apart_from_the_next_one() -> None:
    again = "1250.000 LOG:  selected new timeline ID: 3\n1250.004 LOG:  database system is ready to accept connections\n"
    assert begun(STANDBY + SELECTED + again) == [(2, 1200.000, None), (3, 1250.002, 0.003)]


def test_a_writer_whose_promotion_cannot_be_read_has_an_unknown_begin_and_is_not_taken_for_the_first() -> None:
    assert begun(STANDBY + "1200.000 LOG:  selected new time\n" + READY) == [(0, 1200.020, None)]


def test_a_clock_that_was_set_back_during_a_promotion_makes_its_begin_unknown() -> None:
    set_back = "1190.000 LOG:  database system is ready to accept connections\n"
    assert begun(STANDBY + SELECTED + set_back)[0][2] is None


@pytest.mark.parametrize("line", [
    "LOG:  selected new timeline ID: 9",
    "1200.000 LOG:  selected new timeline ID: ",
    "1200.000 STATEMENT:  select 'LOG:  selected new timeline ID: 9'",
    "\t1200.000 LOG:  selected new timeline ID: 9",
    "1200.000 LOG:  selected new timeline ID: 91200.100 LOG:  starting PostgreSQL 18.6",
    "This is not a line of a server", ""])
def test_torn_and_foreign_lines_are_skipped(line: str) -> None:
    assert begun(FIRST_LIFE + line + "\n") == [(1, 1000.140, 0.001)]


def test_a_last_line_that_is_still_being_written_is_not_read(tmp_path: Path) -> None:
    log = tmp_path / "postgres.log"
    log.write_text(STANDBY + SELECTED + RECOVERED + READY.rstrip("\n"))
    assert [found.error for found in timelines(log)] == [None]
    log.write_bytes(b"\xff\xfe\n" + (STANDBY + SELECTED + RECOVERED + READY).encode())
    assert [found.number for found in timelines(log) if found.error] == [2]


@pytest.fixture
def pair(tmp_path: Path) -> EmbeddedPair:
    """A pair as it is found by somebody else: nothing of it runs any more."""
    (tmp_path / "environment.json").write_text(json.dumps({
        "identifier": "left-behind", "settings": {"primary": "us-west-2", "secondary": "us-east-2"}, "block": 9}))
    (tmp_path / "secrets.json").write_text("{}")
    for role, text in (("primary", FIRST_LIFE), ("secondary", STANDBY + SELECTED + RECOVERED + READY)):
        log_of(tmp_path / "sites" / role).parent.mkdir(parents=True)
        log_of(tmp_path / "sites" / role).write_text(text)
    found = EmbeddedPair.found(tmp_path)
    found.directory = tmp_path
    return found


def test_an_environment_that_was_left_behind_knows_its_epochs(pair: EmbeddedPair) -> None:
    first, second = pair.epochs()
    assert first == Epoch(None, 1, "us-west-2", 1000.140, 0.001, "postgresql log of us-west-2")
    assert (second.number, second.site, second.source) == (2, "us-east-2", "postgresql log of us-east-2")
    assert (round(second.began, 6), round(second.error, 6)) == (1200.015, 0.006)
    assert pair.epoch_gaps() == []


def test_what_is_not_known_of_the_epochs_is_said(pair: EmbeddedPair) -> None:
    log_of(pair.directory / "sites" / "primary").unlink()
    log_of(pair.directory / "sites" / "secondary").write_text(STANDBY + SELECTED)
    assert pair.epochs() == []
    assert pair.epoch_gaps() == [
        "the postgresql log of us-west-2 is missing",
        "the postgresql log of us-east-2 does not say when timeline 2 began (at 1200.000 or later)"]


def test_the_spools_of_both_regions_and_of_the_users_are_found(pair: EmbeddedPair) -> None:
    kept = ["primary/spool/a.jsonl", "secondary/spool/b.jsonl", "users/1/spool/d.jsonl", "users/spool/c.jsonl"]
    for name in [*kept, "primary/aws/wal.jsonl", "primary/spool/e.tmp"]:
        path = pair.directory / "sites" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert pair.spools() == [pair.directory / "sites" / name for name in kept]
