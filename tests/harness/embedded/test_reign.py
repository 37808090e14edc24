"""A change of writer that comes to nothing leaves things as they were."""

from pathlib import Path
from typing import Any

import pytest

from harness.environments.embedded.aws.reign import GlobalState, Reign
from harness.environments.embedded.postgres import PostgresError
from tests.harness.embedded.conftest import until


class Member:
    """A standby whose promotion fails; remembers what it was told."""

    initialised = True

    def __init__(self) -> None:
        self.told: list[str] = []

    def stop_receiving(self) -> None:
        self.told.append("stop receiving")

    def receive_again(self) -> None:
        self.told.append("receive again")

    def promote(self) -> None:
        self.told.append("promote")
        raise PostgresError("it does not come up")


@pytest.fixture
def standby(tmp_path: Path) -> tuple[Reign, Member]:
    """A region that is told to take over from one that nobody can reach."""
    given = Member()
    member: Any = given
    reign = Reign(region="east", directory=tmp_path, member=member, peer="http://127.0.0.1:9", token="t")
    reign.state = GlobalState("g", epoch=1, writer="west", clusters={"west": "p", "east": "s"})
    return reign, given


def test_a_failed_promotion_leaves_a_standby_that_receives_again_under_the_old_epoch(
    standby: tuple[Reign, Member]
) -> None:
    reign, member = standby
    reign.take_over(planned=False)
    until(lambda: reign.state.failover is None)
    assert member.told == ["stop receiving", "promote", "receive again"]
    assert (reign.state.epoch, reign.state.writer) == (1, "west")


def test_a_writer_that_cannot_be_reached_is_waited_out_before_the_promotion(
    standby: tuple[Reign, Member]
) -> None:
    reign, member = standby
    reign.state.rpo_bound = 3600.0
    reign.take_over(planned=False)
    until(lambda: "stop receiving" in member.told)
    assert reign.state.failover is not None
    assert reign.state.failover["Status"] == "pending"
    reign.contact.last -= 7200.0  # the last contact was two bounds ago
    until(lambda: reign.state.failover is None)
    assert "promote" in member.told
