"""Takes back what a drill has broken: the latest first, each written down before and after.

A fault knows how it is taken back (:meth:`harness.faults.base.Fault.revert`), from what the journal holds and nothing
else. So the drill itself can do it, and so can whoever comes after a harness that was killed.
"""

from __future__ import annotations

from harness.engine.context import DrillContext
from harness.engine.standing import Standing
from harness.faults import FAULTS
from harness.record.events import UndoIntent, UndoOutcome


def revert(context: DrillContext, standing: list[Standing], site: str) -> None:
    """Take back what concerns a site; ``standing``: the faults that stand, from which what was taken back is removed.

    Raises:
        EnvironmentFailed: when something cannot be taken back.
    """
    for fault in reversed(list(standing)):
        if not FAULTS[fault.fault].concerns(fault.undo, site):
            continue
        undo = dict(fault.undo)
        context.journal.append(UndoIntent(undo=undo), durable=True)
        seen = FAULTS[fault.fault].revert(context.environment, fault.undo)
        context.journal.append(UndoOutcome(undo=undo, seen=dict(seen)))
        standing.remove(fault)
        context.progress.say(f"undone: {undo}")
