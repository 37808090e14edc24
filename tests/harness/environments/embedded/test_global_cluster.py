"""A change of writer that comes to nothing leaves things as they were."""

from pathlib import Path
from typing import Any

import pytest

from harness.environments.embedded.aws.global_cluster import GlobalCluster, GlobalState, RdsError
from harness.environments.embedded.postgres import PostgresError
from tests.harness.environments.embedded.conftest import until


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


def reign_of(region: str, member: Any, directory: Path) -> GlobalCluster:
    """The part of one region in the first epoch, in which the west is the writer; its peer cannot be reached."""
    reign = GlobalCluster(region=region, directory=directory, member=member, peer="http://127.0.0.1:9", token="t")
    reign.state = GlobalState("g", epoch=1, writer="west", clusters={"west": "p", "east": "s"})
    return reign


@pytest.fixture
def standby(tmp_path: Path) -> tuple[GlobalCluster, Member]:
    """A region that is told to take over from one that nobody can reach."""
    given = Member()
    return reign_of("east", given, tmp_path), given


def test_a_failed_promotion_leaves_a_standby_that_receives_again_under_the_old_epoch(
    standby: tuple[GlobalCluster, Member]
) -> None:
    reign, member = standby
    reign.take_over(planned=False)
    until(lambda: reign.state.failover is None)
    assert member.told == ["stop receiving", "promote", "receive again"]
    assert (reign.state.epoch, reign.state.writer) == (1, "west")


def test_a_writer_that_cannot_be_reached_is_waited_out_before_the_promotion(
    standby: tuple[GlobalCluster, Member]
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


class Writer:
    """A server that can be stopped and started; remembers what it was told."""

    initialised = True

    def __init__(self) -> None:
        self.told: list[str] = []
        self.running, self.in_order = True, True

    def pid(self) -> int | None:
        return 1 if self.running else None

    def replication(self) -> dict[str, Any]:
        return {"state": "streaming" if self.running else "unknown: connection refused"}

    def stop(self, immediate: bool = False) -> None:
        self.told.append("stop")
        self.running = False

    def start(self, mode: Any, *, holding: bool = False) -> None:
        self.told.append("start")
        self.running = True

    def checkpoint_lsn(self) -> str:
        if not self.in_order:
            raise PostgresError("the writer did not stop in order: in production")
        return "0/5000028"


@pytest.fixture
def writer(tmp_path: Path) -> tuple[GlobalCluster, Writer]:
    """The region that a switchover is about to leave."""
    given = Writer()
    return reign_of("west", given, tmp_path), given


def test_a_writer_that_stopped_for_a_switchover_says_so_again_when_its_answer_was_lost(
    writer: tuple[GlobalCluster, Writer]
) -> None:
    reign, member = writer
    assert reign.control("quiesce", {}) == reign.control("quiesce", {}) == {"checkpoint_lsn": "0/5000028"}
    assert member.told == ["stop"]


def test_a_writer_that_did_not_stop_in_order_goes_on_and_nobody_may_take_over_from_it(
    writer: tuple[GlobalCluster, Writer]
) -> None:
    reign, member = writer
    member.in_order = False
    with pytest.raises(RdsError, match="did not stop in order"):
        reign.control("quiesce", {})
    until(lambda: member.running)
    member.in_order = True
    assert reign.control("quiesce", {}) == {"checkpoint_lsn": "0/5000028"}
    assert member.told == ["stop", "start", "stop"]


def test_a_writer_that_is_down_for_another_reason_says_nothing_of_its_end(writer: tuple[GlobalCluster, Writer]) -> None:
    reign, member = writer
    member.running = False
    with pytest.raises(RdsError, match="not streaming"):
        reign.control("quiesce", {})
    assert member.told == []


def test_a_stopped_writer_resumes_only_when_no_switchover_was_answered_meanwhile(
    writer: tuple[GlobalCluster, Writer], monkeypatch: pytest.MonkeyPatch
) -> None:
    reign, member = writer
    monkeypatch.setattr("harness.environments.embedded.aws.global_cluster.ORPHANED_S", 0.0)
    monkeypatch.setattr("harness.environments.embedded.aws.global_cluster.ANNOUNCE_S", 0.05)
    looks: list[bool] = []

    def peer_that_asks_again() -> GlobalState:
        """It changes nothing now; but the first time it asks again right after having said so."""
        if not looks:
            reign.control("quiesce", {})
        looks.append(member.running)
        return GlobalState("g", epoch=1, writer="west")

    monkeypatch.setattr(reign, "_peers_state", peer_that_asks_again)
    reign.control("quiesce", {})
    until(lambda: member.running)
    assert looks == [False, False]  # not after the first look, which the second answer had overtaken
    assert member.told == ["stop", "start"]
