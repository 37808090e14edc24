"""Signals stop a drill wherever it is, and never its clean-up."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from harness.cli.interrupts import NUMBERS, Interrupts


def send(number: int = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


@contextmanager
def ignoring(number: signal.Signals) -> Iterator[None]:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", NUMBERS)
def test_each_of_the_signals_is_raised_with_its_name(number: signal.Signals) -> None:
    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt, match=f"received {number.name}"):
            send(number)
        assert interrupts.received == f"received {number.name}"


def test_the_handlers_of_before_are_back_afterwards() -> None:
    before = [signal.getsignal(number) for number in NUMBERS]
    with Interrupts():
        assert [signal.getsignal(number) for number in NUMBERS] != before
    assert [signal.getsignal(number) for number in NUMBERS] == before


def test_a_drill_that_was_started_to_outlive_its_terminal_does(capfd: pytest.CaptureFixture[str]) -> None:
    with ignoring(signal.SIGHUP), Interrupts() as interrupts:
        send(signal.SIGHUP)
        assert interrupts.received == ""


def test_a_signal_that_comes_too_early_is_raised_when_somebody_can_catch_it() -> None:
    reached = []
    with Interrupts() as interrupts, interrupts.held():
        send()
        reached.append("held")
        with pytest.raises(KeyboardInterrupt), interrupts.raised():
            reached.append("begun")
    assert reached == ["held"]


def test_a_second_signal_does_not_strike_the_clean_up_of_the_first(capfd: pytest.CaptureFixture[str]) -> None:
    cleaned = []
    with Interrupts() as interrupts, interrupts.held():
        try:
            with interrupts.raised():
                send()
        except KeyboardInterrupt:
            send()
            send(signal.SIGINT)
            cleaned.append(True)
        interrupts.heeded()
    assert cleaned == [True]
    assert "the clean-up goes on" in capfd.readouterr().err


def test_a_second_signal_does_not_strike_what_the_first_unwinds() -> None:
    unwound = []
    with Interrupts() as interrupts, interrupts.held():
        with pytest.raises(KeyboardInterrupt, match="SIGTERM"), interrupts.raised():
            try:
                send()
            finally:
                send(signal.SIGINT)
                unwound.append(True)
        interrupts.heeded()
    assert unwound == [True]


def test_what_was_held_is_raised_once_it_is_over() -> None:
    done = []
    with Interrupts() as interrupts, pytest.raises(KeyboardInterrupt, match="SIGHUP"):
        with interrupts.held():
            send(signal.SIGHUP)
            done.append("held")
        done.append("on")
    assert done == ["held"]


def test_what_was_heeded_is_not_raised_again() -> None:
    with Interrupts() as interrupts:
        with interrupts.held():
            send()
            interrupts.heeded()
        with interrupts.held(), interrupts.raised():
            pass


def test_a_signal_whose_exception_got_lost_is_raised_again() -> None:
    """As in a finalizer, whose exceptions Python prints and drops."""
    with Interrupts() as interrupts, interrupts.held(), pytest.raises(KeyboardInterrupt, match="SIGTERM"), \
            interrupts.raised():
        with suppress(KeyboardInterrupt):
            send()
        with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
            interrupts.check()


def test_a_signal_of_an_earlier_part_does_not_stop_a_later_one() -> None:
    with Interrupts() as interrupts, interrupts.held():
        with pytest.raises(KeyboardInterrupt), interrupts.raised():
            send()
        interrupts.heeded()
        with interrupts.raised():
            interrupts.check()
