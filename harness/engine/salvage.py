"""The run of an environment whose harness was killed: its evidence is kept, its record ended, its report made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.common.teardown import Failed
from harness.environments.embedded.environment import EmbeddedPair
from harness.environments.embedded.state import EnvironmentState
from harness.record import evidence as evidences
from harness.record import journal
from harness.record.collecting import collect
from harness.record.events import Cleanup, Recorded, RunBroken, RunEnded, RunStarted, parse
from harness.record.journal import Journal, JournalInUse
from harness.record.tables import BULK

KILLED = "the harness was killed; 'drill down' cleaned up"


class Salvage:
    """Brings to safety what a run has measured; each step in its turn, and none depends on another."""

    def __init__(self, directory: Path) -> None:
        """``directory``: the environment's."""
        self._directory = directory
        self._output = EnvironmentState.load(directory).run
        self._book: Journal | None = None

    def collect(self) -> None:
        """Keep the evidence. Nothing where there is no run, or it has ended, or a living harness writes its record.

        Raises:
            CorruptJournal: when the record was altered.
            EnvironmentFailed: when what the environment says of itself cannot be read.
            EvidenceLost: when some of it could not be kept.
            OSError: when the record cannot be written.
        """
        if self._output is None or not (self._output / journal.FILE).exists():
            return
        try:
            book = Journal(self._output)
        except JournalInUse:
            return
        before = [parse(e.kind, e.data, e.number, e.monotonic, e.wall)
                  for e in journal.read(self._output, without=BULK)]
        if any(isinstance(event, RunEnded) for event in before) or not self._is_of(before):
            book.close()
            return
        self._book = book
        for unfinished in (self._output / evidences.DIRECTORY).glob("*.jsonl"):
            unfinished.unlink()
        collect(EmbeddedPair.found(self._directory), self._output, book, before)

    def _is_of(self, events: Sequence[Recorded]) -> bool:
        """Whether a record is of a run in this environment, and not of one that came later into the directory."""
        return any(isinstance(e, RunStarted) and e.environment == self._directory.name for e in events)

    def end(self, lost: Sequence[Failed], left: Sequence[Failed]) -> None:
        """End the record; ``lost``: of the evidence, ``left``: of the environment, because it could not be removed."""
        if self._book is None:
            return
        try:
            self._book.append(RunBroken(reason="; ".join([KILLED, *(str(step.error) for step in lost)])), durable=True)
            error = "; ".join(str(step.error) for step in left) or None
            self._book.append(Cleanup(outcome="failed" if left else "done", error=error, by="drill down"), durable=True)
            self._book.append(RunEnded(), durable=True)
        finally:
            self._book.close()

    def report(self) -> None:
        """Make the report of a run whose record was ended here."""
        from reports import writer

        if self._book is not None and self._output is not None:
            writer.write(self._output)
