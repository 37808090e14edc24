"""A teardown does all its steps, whatever each of them meets."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from harness.common.teardown import Failed, Teardown


def failing(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


@contextmanager
def without_descriptors(spare: int = 0) -> Iterator[None]:
    """As if all file descriptors but a few were in use."""
    before, taken = resource.getrlimit(resource.RLIMIT_NOFILE), []
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 40, before[1]))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        for _ in range(spare):
            os.close(taken.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for descriptor in taken:
            os.close(descriptor)


def test_it_can_look_at_what_it_ends_though_there_are_no_file_descriptors_left() -> None:
    teardown = Teardown(lambda _: None)
    teardown.push("the environment", lambda: [os.close(os.dup(0)) for _ in range(4)])
    with without_descriptors():
        assert teardown.run() == []


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
