"""How figures are said."""

from __future__ import annotations

import pytest

from harness.measures.interval import Interval
from harness.measures.result import Count, Loss
from reports import words


def between(low: float, high: float | None) -> Interval:
    return Interval(low=low, high=high)


@pytest.mark.parametrize(("found", "full", "brief"), [
    (None, "not known", "not known"),
    (between(40, None), "at least 40 s", "at least 40 s"),
    (between(0, None), "at least 0 s", "at least 0 s"),
    (between(0, 1.3), "at most 1.3 s", "at most 1.3 s"),
    (between(0, 0), "0 s", "0 s"),
    (between(5, 7.2), "7.2 s (at least 5 s)", "5 s to 7.2 s"),
    (between(4, 4), "4 s", "4 s"),
])
def test_a_time_is_said_with_its_bounds(found: Interval | None, full: str, brief: str) -> None:
    assert (words.figure(found), words.brief(found)) == (full, brief)


@pytest.mark.parametrize(("found", "said"), [
    (between(0, 0), "0"), (between(1234, 1234), "1,234"), (between(2, 5), "2 to 5"), (between(0, 3), "0 to 3"),
    (between(2, None), "2 or more"), (between(0, None), "not known"), (Count(low=1, high=None), "1 or more"),
    (None, "not known")])
def test_a_count_says_what_is_certain_and_what_is_possible(found: Interval | Count | None, said: str) -> None:
    assert words.count(found) == said


def test_a_loss_says_how_many_only_where_there_are_some() -> None:
    assert words.loss(Loss(acknowledged=9, lost=0, recovered_later=0, rpo=between(0, 1.5))) == "at most 1.5 s"
    assert words.loss(Loss(acknowledged=9, lost=2, recovered_later=0, rpo=between(5, 7))) == "2 lost, 5 s to 7 s"
    assert words.loss(Loss(acknowledged=0, lost=0, recovered_later=0, rpo=None)) == "not known"


def test_where_something_was_lost_the_rpo_is_not_said_to_be_nothing() -> None:
    lost = Loss(acknowledged=9, lost=1, recovered_later=0, rpo=between(0, 0.2))
    assert words.rpo(lost) == "at most 200 ms"
    assert words.rpo(lost.model_copy(update={"lost": 0})) == "nothing lost, known to 200 ms"
    assert words.rpo(lost.model_copy(update={"rpo": None})) == "not known"


def test_a_moment_is_said_in_utc_to_the_millisecond() -> None:
    assert words.moment(1_700_000_000.1239) == "2023-11-14T22:13:20.123Z"
    assert words.moment(None) == "not known"


def test_what_came_before_is_said_to_be_before() -> None:
    assert (words.after(1.5), words.after(-0.007)) == ("1.5 s", "7 ms before")


def test_who_is_said_by_name_or_as_all() -> None:
    assert words.names(["a", "b"], of=3) == "a, b"
    assert words.names(["a", "b"], of=2) == "all 2"
    assert words.names(["a"], of=1) == "a"
    assert words.names([str(i) for i in range(9)], of=80) == "0, 1, 2, 3, 4, 5, 6, 7 and 1 more"


def test_sizes_and_shares_have_their_units() -> None:
    assert (words.mebibytes(12.4), words.mebibytes(2048), words.mebibytes(None)) == ("12 MiB", "2.0 GiB", "not known")
    assert (words.share(0.0491), words.rate(6.754)) == ("4.9 %", "6.75 a second")


def test_a_clock_is_ahead_or_behind() -> None:
    assert (words.offset(1.5), words.offset(-0.0123)) == ("1.5 s ahead", "12 ms behind")
    assert (words.offset(-0.0004), words.offset(None)) == ("less than 1 ms", "not known")
