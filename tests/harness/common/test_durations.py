"""Durations and rates, good and bad."""

from __future__ import annotations

import pytest

from harness.common.durations import parse_duration, parse_rate, write_duration


@pytest.mark.parametrize(("text", "seconds"), [
    ("0s", 0.0), ("500ms", 0.5), ("30s", 30.0), ("1.5m", 90.0), ("2h", 7200.0), ("168h", 604800.0)])
def test_a_duration_is_a_number_with_a_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", [
    "", "30", 30, 1.5, True, None, [], {}, "30 s", "30s\n", "\n30s", "\uff10s", "3\u0660s", "-1s", "+1s", "1e3s", "1_0s", "0x1s",
    "s", ".5s", "5.s", "1:30", "1d", "30S", "9" * 400 + "s", "1." + "0" * 400 + "s", "infs", "nans"])
def test_what_is_none_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="is not a duration; write for example 30s, 5m or 1h"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["169h", "999999999999h", "604800001ms"])
def test_what_is_longer_than_a_week_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is longer than a week; at most 168h"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["", "64", "64KB/s", "64KiB", "64KiB/s\n", "\uff16KiB/s", "-1B/s", 64, None])
def test_what_is_no_rate_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="is not a rate; write for example 64KiB/s or 1MiB/s"):
        parse_rate(text)


@pytest.mark.parametrize("text", ["0B/s", "0.5B/s", "0GiB/s"])
def test_a_rate_that_lets_nothing_through_is_a_cut(text: str) -> None:
    with pytest.raises(ValueError, match="lets nothing through; write cut: true for that"):
        parse_rate(text)


@pytest.mark.parametrize("text", ["500ms", "20s", "5m", "168h", "0s", "1500ms"])
def test_a_duration_is_written_so_that_it_is_read_as_the_same(text: str) -> None:
    assert parse_duration(write_duration(parse_duration(text))) == parse_duration(text)
