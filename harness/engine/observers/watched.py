"""Threads of which somebody learns that they have failed: one that dies unseen makes a record that only looks whole."""

from __future__ import annotations

import threading


class WatchedThread(threading.Thread):
    """A thread that keeps what it failed of, for whoever watches over it."""

    failure: Exception | None = None

    def run(self) -> None:
        """Do the work."""
        try:
            super().run()
        except Exception as error:
            self.failure = error

    def finish(self, timeout: float) -> None:
        """Wait for the end, if it was started at all.

        Raises:
            ThreadFailed: when it came to a bad end, or to none.
        """
        if self.ident is not None:
            self.join(timeout)
        if self.is_alive():
            raise ThreadFailed(f"{self.name} did not end within {timeout:.0f} s")
        self.check()

    def check(self) -> None:
        """Raise ThreadFailed when it has failed."""
        if self.failure is not None:
            raise ThreadFailed(f"{self.name} failed: {self.failure}") from self.failure


class ThreadFailed(Exception):
    """A thread of the harness has died of an error."""
