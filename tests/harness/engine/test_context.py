"""What a drill knows of itself while it is under way."""

import pytest

from harness.engine.context import DrillContext


@pytest.mark.parametrize(("t_fault", "t_moved", "since"), [
    (100.0, None, 100.0),  # broken, and nobody has moved yet
    (100.0, 104.0, 104.0),  # what the old region scheduled until it was left shows nothing of the new one
    (100.0, 60.0, 100.0),  # the last move was before this fault
    (None, None, 0.0)])
def test_a_deployment_is_up_again_by_what_was_scheduled_after_fault_and_move(
    t_fault: float | None, t_moved: float | None, since: float
) -> None:
    stage = DrillContext.__new__(DrillContext)
    stage.t_fault, stage.t_moved = t_fault, t_moved
    assert stage.restored_from == since
