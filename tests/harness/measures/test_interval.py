"""Figures as intervals against bounds."""

from harness.measures.interval import FAIL, INCONCLUSIVE, PASS, Interval, percentile, worst


def test_a_target_is_met_only_when_the_whole_interval_is_within_it() -> None:
    assert Interval(8, 2).against(10) == PASS
    assert Interval(9, 2).against(10) == INCONCLUSIVE
    assert Interval(13, 2).against(10) == FAIL


def test_a_censored_figure_never_meets_a_target() -> None:
    assert Interval(5, 0, censored=True).against(10) == INCONCLUSIVE
    assert Interval(11, 0, censored=True).against(10) == FAIL


def test_fail_beats_inconclusive_beats_pass_and_nothing_is_no_pass() -> None:
    assert worst([PASS, INCONCLUSIVE, FAIL]) == FAIL
    assert worst([PASS, INCONCLUSIVE]) == INCONCLUSIVE
    assert worst([PASS]) == PASS
    assert worst([]) == INCONCLUSIVE


def test_percentiles_are_nearest_rank() -> None:
    assert percentile([3, 1, 2, 4], 0.5) == 2
    assert percentile([1, 2, 3, 4], 0.95) == 4
    assert percentile([], 0.5) is None
