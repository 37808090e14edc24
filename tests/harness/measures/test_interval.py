"""Figures as intervals against bounds."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measures.interval import (
    FAIL,
    INCONCLUSIVE,
    PASS,
    Interval,
    Verdict,
    exactly,
    percentile,
    slowest,
    worst,
)

BOUNDS = st.floats(0, 1e6)
VERDICTS = st.sampled_from(list(Verdict))


def spans() -> st.SearchStrategy[Interval]:
    """Any interval, without an upper bound at times."""
    return st.tuples(BOUNDS, st.one_of(st.none(), BOUNDS)).map(
        lambda pair: Interval(low=pair[0], high=None if pair[1] is None else pair[0] + pair[1]))


@pytest.mark.parametrize(("low", "high", "verdict"), [
    (6.0, 10.0, PASS), (10.0, 10.0, PASS), (7.0, 10.001, INCONCLUSIVE), (10.0, 11.0, INCONCLUSIVE),
    (10.001, 15.0, FAIL), (5.0, None, INCONCLUSIVE), (10.0, None, INCONCLUSIVE), (10.001, None, FAIL),
])
def test_a_target_is_met_only_by_the_whole_interval_and_missed_only_by_the_whole(
    low: float, high: float | None, verdict: Verdict
) -> None:
    assert Interval(low=low, high=high).against(10) == verdict


@given(spans(), BOUNDS, BOUNDS)
def test_a_laxer_target_is_never_worse(figure: Interval, one: float, more: float) -> None:
    order = [FAIL, INCONCLUSIVE, PASS]
    assert order.index(figure.against(one + more)) >= order.index(figure.against(one))


def test_a_figure_without_an_upper_bound_is_censored() -> None:
    assert Interval.at_least(5) == Interval(low=5, high=None)
    assert Interval.at_least(-1).low == 0
    assert Interval.at_least(5).most == inf
    assert Interval.at_least(5).censored
    assert not exactly(5).censored
    assert exactly(5).model_dump()["censored"] is False


def test_a_value_with_an_error_never_goes_below_nothing() -> None:
    assert Interval.around(3, 1) == Interval(low=2, high=4)
    assert Interval.around(1, 3) == Interval(low=0, high=4)
    assert Interval.around(-3, 1) == Interval(low=0, high=0)


def test_sums_add_both_bounds_and_stay_censored() -> None:
    assert Interval(low=1, high=2) + Interval(low=3, high=5) == Interval(low=4, high=7)
    assert Interval(low=1, high=None) + exactly(2) == exactly(2) + Interval(low=1, high=None) == Interval.at_least(3)


@given(st.lists(VERDICTS))
def test_fail_beats_inconclusive_beats_pass_and_nothing_is_no_pass(verdicts: list[Verdict]) -> None:
    expected = (FAIL if FAIL in verdicts else INCONCLUSIVE if INCONCLUSIVE in verdicts or not verdicts else PASS)
    assert worst(verdicts) == expected


def test_the_slowest_of_several_is_the_largest_of_each_bound() -> None:
    assert slowest([Interval(low=1, high=9), Interval(low=5, high=6)]) == Interval(low=5, high=9)
    assert slowest([Interval(low=1, high=9), Interval.at_least(5)]) == Interval.at_least(5)
    assert slowest([Interval.at_least(5), exactly(7)]) == Interval.at_least(7)
    assert slowest([]) is None


def test_percentiles_are_of_the_nearest_rank() -> None:
    values = [exactly(3), exactly(1), exactly(2), exactly(4)]
    assert [percentile(values, share) for share in (0.01, 0.25, 0.26, 0.5, 0.51, 0.95, 1.0)] == [
        exactly(value) for value in (1, 1, 2, 2, 3, 4, 4)]
    assert percentile([], 0.5) is None


def test_a_percentile_is_censored_when_a_censored_value_stands_at_its_rank() -> None:
    values = [exactly(1), Interval.at_least(0.5), exactly(3)]
    assert percentile(values, 0.5) == Interval(low=1, high=3)
    assert percentile(values, 0.95) == Interval(low=3, high=None)


@given(st.lists(spans(), min_size=1), st.floats(0.01, 1))
def test_a_percentile_lies_within_what_is_possible(values: list[Interval], share: float) -> None:
    found = percentile(values, share)
    assert found is not None
    assert found.low <= found.most
    assert min(v.low for v in values) <= found.low
    assert found.most <= max(v.most for v in values)
