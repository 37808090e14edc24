"""Signals: what stops a drill, and what must not stop its teardown."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP stop a drill as Ctrl-C does."""

    def stop(number: int, _: Any) -> None:
        # A BaseException: no handler of ordinary errors on the way up may swallow it.
        raise KeyboardInterrupt(f"received {signal.Signals(number).name}")

    previous = {number: signal.signal(number, stop)
                for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def uninterruptible() -> Iterator[None]:
    """A second Ctrl-C must not leave half an environment behind."""
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    previous = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
