"""A teardown does all its steps, whatever each of them meets."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.teardown import Failed, Teardown


def failing(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def test_what_was_started_last_is_ended_first() -> None:
    done: list[str] = []
    teardown = Teardown(lambda _: None)
    for name in ("journal", "environment", "load"):
        teardown.push(name, lambda name=name: done.append(name))
    assert teardown.run() == []
    assert done == ["load", "environment", "journal"]


@pytest.mark.parametrize("error", [
    ValueError("a bug"), OSError(28, "No space left on device"), KeyboardInterrupt(), SystemExit(1), MemoryError()])
def test_it_goes_on_after_a_step_that_fails_and_says_which(error: BaseException) -> None:
    done: list[str] = []
    told: list[Failed] = []
    teardown = Teardown(told.append)
    teardown.push("first", lambda: done.append("first"))
    teardown.push("second", failing(error))
    teardown.push("third", lambda: done.append("third"))
    assert teardown.run() == told == [Failed("second", error)]
    assert done == ["third", "first"]


def test_it_goes_on_when_the_failure_cannot_be_told() -> None:
    done: list[str] = []

    def told(_: Failed) -> None:
        raise OSError(5, "the terminal is gone")

    teardown = Teardown(told)
    teardown.push("first", lambda: done.append("first"))
    teardown.push("second", failing(ValueError()))
    assert len(teardown.run()) == 1
    assert done == ["first"]


def test_nothing_is_ended_twice() -> None:
    done: list[str] = []
    teardown = Teardown(lambda _: None)
    teardown.push("first", lambda: done.append("first"))
    teardown.run()
    assert teardown.run() == []
    assert done == ["first"]


def test_what_a_step_starts_is_ended_too() -> None:
    done: list[str] = []
    teardown = Teardown(lambda _: None)
    teardown.push("first", lambda: teardown.push("late", lambda: done.append("late")))
    teardown.run()
    assert done == ["late"]
