"""A failover waits until the Airflow of the region that is left has come to an end, and no longer."""

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from orchestrator import durable, fencing, sequence
from orchestrator.durable import Context, StepFailed
from orchestrator.store import Cluster, Report, Store

LEASE_S = 4.0
DRAIN_S = 600.0


class Orders:
    """The bucket of the region that takes over; what crosses is up to the test."""

    def __init__(self) -> None:
        self.given: dict[str, int] = {}
        self.may_drain: dict[str, bool] = {}
        self.answers: dict[str, int] = {}
        self.broken = False

    def stop(self, region: str, generation: int, *, drain: bool = False) -> None:
        if self.broken:
            raise EndpointConnectionError(endpoint_url="http://east")
        self.given[region], self.may_drain[region] = generation, drain

    def answered(self, region: str) -> int:
        return self.answers.get(region, 0)


class World:
    """West is left for east; time passes when somebody waits."""

    def __init__(self, store: Store) -> None:
        self.store, self.orders, self.now = store, Orders(), time.time()
        self.began = self.now
        self.later: list[tuple[float, Callable[[], None]]] = []

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for due in [d for d in self.later if d[0] <= self.now]:
            self.later.remove(due)
            due[1]()

    def reports(self, region: str, *, pods: int = 2, ago: float = 0.0, apart: float = 0.0) -> None:
        cluster = self.store.get(Cluster, "c1")
        assert cluster is not None
        self.store.put(Report(region=region, generation=cluster.generation, running_pods=pods,
                              at=self.now - ago, in_contact_s=apart), region)

    def waited(self) -> float:
        fencing.stop_left_airflow("west", "east")
        return self.now - self.began

    def quiesce(self) -> float:
        sequence.quiesce("fo-1", "west", "east")
        return self.now - self.began


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    store = Store(tmp_path / "o.sqlite")
    store.put(Cluster(id="c1", name="one", region="west", drRegion="east", activeRegion="west",
                      writer="west", workloads={"west": True, "east": False}), "c1")
    made = World(store)
    clock: Any = SimpleNamespace(time=lambda: made.now, monotonic=lambda: made.now, sleep=made.sleep)
    for module in (durable, fencing):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(fencing, "LEASE_MARGIN_S", 1.0)
    config: Any = SimpleNamespace(
        cluster_id="c1", rpo_bound=LEASE_S - 1.0, drain_seconds=DRAIN_S, crash_file=None)
    regions: Any = {"east": SimpleNamespace(orders=made.orders)}
    monkeypatch.setattr(Context, "config", config, raising=False)
    monkeypatch.setattr(Context, "store", store, raising=False)
    monkeypatch.setattr(Context, "regions", regions, raising=False)
    made.reports("west")
    made.reports("east", pods=0)
    return made


def test_a_region_that_reports_its_airflow_stopped_is_waited_for_no_longer(world: World) -> None:
    world.later.append((world.now + 1.5, lambda: world.reports("west", pods=0)))
    assert 1.5 <= world.waited() < LEASE_S


def test_an_answer_that_came_with_the_bucket_is_as_good(world: World) -> None:
    def answer() -> None:
        world.orders.answers["west"] = world.orders.given["west"]

    world.later.append((world.now + 1.5, answer))
    assert 1.5 <= world.waited() < LEASE_S


def test_a_report_of_before_the_order_says_nothing(world: World) -> None:
    world.reports("west", pods=0)
    assert world.waited() >= LEASE_S


def test_a_region_that_goes_on_is_waited_for_as_long_as_it_takes_to_stop_by_itself(world: World) -> None:
    assert LEASE_S <= world.waited() < 2 * LEASE_S


def test_a_region_that_has_been_away_for_so_long_is_not_waited_for(world: World) -> None:
    world.reports("west", ago=60.0)
    world.reports("east", pods=0, apart=60.0)
    assert world.waited() < 1.0


def test_one_whose_database_was_in_contact_until_now_is(world: World) -> None:
    world.reports("west", ago=60.0)
    assert world.waited() >= LEASE_S


def test_a_silent_agent_here_does_not_know_how_long_the_other_has_been_away(world: World) -> None:
    world.reports("west", ago=60.0)
    world.reports("east", pods=0, ago=60.0, apart=60.0)
    assert world.waited() >= LEASE_S


def test_a_bucket_that_cannot_be_used_holds_nothing_up(world: World) -> None:
    world.orders.broken = True
    assert LEASE_S <= world.waited() < 2 * LEASE_S


def test_a_failover_lets_nothing_come_to_its_end_and_a_planned_move_does(world: World) -> None:
    world.waited()
    assert world.orders.may_drain == {"west": False}
    world.later.append((world.now + 1.0, lambda: world.reports("west", pods=0)))
    world.quiesce()
    assert world.orders.may_drain == {"west": True}


def test_a_planned_move_waits_for_running_tasks_as_long_as_they_are_given(world: World) -> None:
    world.later.append((world.now + DRAIN_S + 1.0, lambda: world.reports("west", pods=0)))
    assert DRAIN_S < world.quiesce() < DRAIN_S + 2.0


def test_a_region_that_runs_on_after_that_fails_the_move_at_this_step(world: World) -> None:
    with pytest.raises(StepFailed, match="west did not say that its Airflow has stopped"):
        world.quiesce()
    assert world.now - world.began > DRAIN_S + sequence.QUIESCE_S
    assert [(s["name"], bool(s["error"])) for s in world.store.steps("fo-1")] == [("quiesce", True)]


def test_a_quiesce_that_is_begun_again_after_a_crash_asks_for_the_same(world: World) -> None:
    fencing.stopping("west", "east", drain=True)  # and then the orchestrator died
    asked = world.store.get(Cluster, "c1")
    world.later.append((world.now + 1.0, lambda: world.reports("west", pods=0)))
    world.quiesce()
    assert world.store.get(Cluster, "c1") == asked
    assert asked is not None
    assert not any(asked.workloads.values())
