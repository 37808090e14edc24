"""Signals: what stops a command, and what must not stop its clean-up.

SIGINT, SIGTERM and SIGHUP are one wish: stop, and leave nothing behind. It is raised as a KeyboardInterrupt, but only
where whoever asked for that can catch it: a signal that comes before is raised when that part begins, and one that
comes during the clean-up is noted, and said to have been. Within one such part a signal is raised once, so that none
strikes the handlers of the first.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
HELD = b"the clean-up goes on: nothing must be left half removed\n"


def over() -> None:
    """From now on no signal changes how this process ends: its exit code has been decided."""
    for number in NUMBERS:
        signal.signal(number, signal.SIG_IGN)


class Interrupts:
    """The signals of one command, from ``with`` on. Only for the main thread."""

    def __init__(self) -> None:
        self.received = ""
        """The last one, in words; empty while there was none."""
        self._pending = ""
        self._open = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:
        self._open = True
        for number in NUMBERS:
            # nohup asks to live on when the terminal goes.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        self._open = False
        for number, handler in self._previous.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, handler)

    def _handle(self, number: int, _: Any) -> None:
        self.received = f"received {signal.Signals(number).name}"
        if self._open:
            self._open = False
            # A BaseException: no handler of ordinary errors on the way up may swallow it.
            raise KeyboardInterrupt(self.received)
        self._pending = self.received
        with contextlib.suppress(OSError):  # written past all buffers: one of them may be what was interrupted
            os.write(2, HELD)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing is raised in here; a signal that came meanwhile is raised at the end."""
        before, self._open = self._open, False
        try:
            yield
        finally:
            self._open = before
        if before:
            self._raise_pending()

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Within :meth:`held`: signals are raised in here, and so is one that came before.

        A signal whose exception was lost on its way up is raised at the end.
        """
        self.received = self._pending
        self._open = True
        try:
            self._raise_pending()
            yield
        finally:
            self._open = False
        self.check()

    def check(self) -> None:
        """Raise what was received since :meth:`raised` began.

        An exception that is raised while Python runs a finalizer, say, goes no further than that.
        """
        if self.received:
            raise KeyboardInterrupt(self.received)

    def heeded(self) -> None:
        """What was received so far has been done: it is not raised any more."""
        self._pending = ""

    def _raise_pending(self) -> None:
        if self._pending:
            self._open, self._pending = False, ""
            raise KeyboardInterrupt(self.received)
