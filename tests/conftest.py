"""Shared by all tests: a run's evidence, built by hand."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from harness.cli.interrupts import NUMBERS
from harness.testing import Story


@pytest.fixture(autouse=True)
def _signals_of_before() -> Iterator[None]:
    """A command decides about signals to the end of its process, and ours goes on."""
    before = {number: signal.getsignal(number) for number in NUMBERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def story() -> Story:
    """An empty story."""
    return Story()
