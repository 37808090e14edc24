"""The agent of a region: pulls, applies, puts right what was changed by hand, stops when it is alone."""

import contextlib
import io
import json
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from orchestrator import observability
from orchestrator import reconciler as module
from orchestrator.drift import Key, differences, key_of
from orchestrator.facts import DatabaseFacts, RegionFacts
from orchestrator.observability import Observability
from orchestrator.orders import Orders
from orchestrator.reconciler import Reconciler
from orchestrator.region_view import RegionView


def workload(name: str, replicas: int) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"namespace": "airflow-x", "name": name},
            "spec": {"replicas": replicas, "template": {"containers": [{"name": name}]}}}


class Kube:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.objects: dict[Key, dict[str, Any]] = {}
        self.applied = 0
        self.stopped: str = ""
        """How it was told to stop all."""
        self.hurried = False
        self.running = 0
        self.applications: list[list[str]] = []

    def apply_all(self, manifests: list[dict[str, Any]]) -> None:
        self.applied += 1
        self.applications.append([m["metadata"]["name"] for m in manifests])
        self.objects |= {key_of(m): {**m, "status": "added by the server"} for m in manifests}

    def list_managed(self, api: str, kind: str) -> dict[Key, dict[str, Any]]:
        return {k: o for k, o in self.objects.items() if (o["apiVersion"], k[0]) == (api, kind)}

    def delete(self, key: Key, api: str) -> None:
        del self.objects[key]

    def airflow_pods(self) -> int:
        return self.running

    def hurry(self) -> None:
        self.hurried = True

    def stop_airflow(self, *, drain: bool) -> None:
        self.stopped = "drain" if drain else "hurry"
        for obj in self.objects.values():
            obj["spec"] = {**obj["spec"], "replicas": 0}


class Facts:
    """What the region sees of its database."""

    def __init__(self) -> None:
        self.database: DatabaseFacts | None = DatabaseFacts(writer=True, connected=True, lag_s=0.0)

    def look(self) -> RegionFacts:
        return RegionFacts(database=self.database)


class Bucket:
    """The region's bucket, as far as orders need it."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put_object(self, Bucket: str, Key: str, Body: bytes) -> None:
        self.objects[Key] = Body

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        if Key not in self.objects:
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        return {"Body": io.BytesIO(self.objects[Key])}


class Control:
    """A control plane that can fall silent."""

    def __init__(self) -> None:
        self.generation, self.manifests = 1, [workload("scheduler", 0)]
        self.silent = False
        self.active = self.drain = False
        self.reports: list[dict[str, Any]] = []

    def client(self) -> httpx.Client:
        return httpx.Client(base_url="http://control", transport=httpx.MockTransport(self.answer))

    def answer(self, request: httpx.Request) -> httpx.Response:
        if self.silent:
            raise httpx.ConnectError("silent")
        if request.method == "POST":
            self.reports.append(json.loads(request.content))
            return httpx.Response(200, json={})
        have = int(request.url.params["have"])
        return httpx.Response(200, json={
            "generation": self.generation, "active": self.active, "drain": self.drain, "rpoBound": 20.0,
            "manifests": self.manifests if have != self.generation else []})


class World:
    """A reconciler with everything around it."""

    def __init__(self) -> None:
        self.kube, self.facts, self.control = Kube(), Facts(), Control()
        self.orders = Orders(Bucket(), "logs", "one")
        self.start()

    def start(self, bound: float | None = None) -> None:
        """Start the reconciler (again)."""
        kube: Any = self.kube
        facts: Any = self.facts
        self.view = RegionView()
        self.eyes = Observability(facts, self.view)
        self.agent = Reconciler(self.control.client(), kube, self.orders, self.view, "one", "west", bound)

    def turn(self) -> None:
        """One turn of what the region's agent runs."""
        self.eyes.turn()
        self.agent.turn()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(module, "DRIFT_S", 0.0)
    monkeypatch.setattr(observability, "LOOK_S", 0.0)
    made = World()
    made.turn()
    made.kube.stopped = ""
    return made


def test_it_applies_a_generation_once_and_says_which(world: World) -> None:
    assert world.kube.applied == 1
    assert world.view.told
    world.turn()
    assert world.kube.applied == 1
    assert world.control.reports[-1]["generation"] == 1


def test_of_a_new_generation_it_applies_what_is_wanted_otherwise_than_before(world: World) -> None:
    world.control.generation, world.control.manifests = 2, [workload("scheduler", 0), workload("new", 0)]
    world.turn()
    assert world.kube.applications == [["scheduler"], ["new"]]
    assert world.control.reports[-1]["generation"] == 2


def test_what_a_failover_applied_in_between_is_no_more_than_what_was_changed_by_hand(world: World) -> None:
    key = ("Deployment", "airflow-x", "scheduler")
    world.kube.objects[key] = workload("scheduler", 1)  # inflated directly, in a generation never seen here
    world.control.generation = 3
    world.turn()
    assert world.kube.objects[key]["spec"]["replicas"] == 0


def test_what_was_changed_by_hand_is_put_right_and_reported(world: World) -> None:
    key = ("Deployment", "airflow-x", "scheduler")
    world.kube.objects[key] = workload("scheduler", 1)
    world.turn()
    assert world.kube.objects[key]["spec"]["replicas"] == 0
    assert world.control.reports[-1]["drift"] == ["Deployment airflow-x/scheduler: spec.replicas"]
    world.turn()
    assert world.control.reports[-1]["drift"] == []


def test_what_is_not_wanted_goes_at_the_second_look(world: World) -> None:
    stray = workload("stray", 1)
    world.kube.objects[key_of(stray)] = stray
    world.turn()
    assert key_of(stray) in world.kube.objects  # it may just be being made
    world.turn()
    assert key_of(stray) not in world.kube.objects
    assert world.control.reports[-1]["drift"] == ["Deployment airflow-x stray: not wanted"]


def alone(world: World, *, control: bool, database: bool) -> bool:
    """Whether it stops Airflow after a long time without the one or the other."""
    if database and world.facts.database is not None:
        world.facts.database.connected = False
    world.agent.state.heard -= 60 if control else 0
    world.view.in_contact -= 60 if database else 0
    return stops(world, silent=control)


def stops(world: World, *, silent: bool = True) -> bool:
    """One pass, with or without a word from the control plane; whether Airflow is stopped after it."""
    world.control.silent = silent
    with contextlib.suppress(httpx.HTTPError):
        world.turn()
    return bool(world.kube.stopped)


def test_a_region_that_hears_nobody_stops_its_airflow(world: World) -> None:
    assert alone(world, control=True, database=True)


def test_a_region_whose_database_says_nothing_is_alone_too(world: World) -> None:
    world.facts.database = None
    assert alone(world, control=True, database=True)


def test_a_reconciler_that_is_started_while_its_region_is_cut_off_knows_the_bound(world: World) -> None:
    world.start(bound=20.0)
    assert alone(world, control=True, database=True)


@pytest.mark.parametrize(("control", "database"), [(True, False), (False, True)])
def test_a_region_that_hears_one_of_them_goes_on(world: World, control: bool, database: bool) -> None:
    assert not alone(world, control=control, database=database)


def test_a_standby_has_nothing_to_stop(world: World) -> None:
    world.facts.database = DatabaseFacts(writer=False, connected=True, lag_s=0.0)
    assert not alone(world, control=True, database=True)


def test_a_region_that_was_alone_is_put_back_as_it_is_wanted(world: World) -> None:
    world.control.generation, world.control.manifests = 2, [workload("scheduler", 1)]
    world.turn()
    assert alone(world, control=True, database=True)
    assert world.kube.objects[key_of(workload("scheduler", 0))]["spec"]["replicas"] == 0
    assert stops(world, silent=False)
    assert world.kube.objects[key_of(workload("scheduler", 0))]["spec"]["replicas"] == 1


def test_an_order_in_the_bucket_is_obeyed_and_answered_once_nothing_runs(world: World) -> None:
    world.kube.running = 2
    world.orders.stop("west", 2)
    assert stops(world)
    assert world.orders.answered("west") == 0
    world.kube.running = 0
    assert stops(world)
    assert world.orders.answered("west") == 2


def test_one_that_was_told_itself_and_then_cut_off_answers_by_the_bucket(world: World) -> None:
    world.orders.stop("west", 2)
    world.control.generation, world.kube.running = 2, 2
    world.turn()  # told, and Airflow has not stopped yet
    world.kube.running = 0
    stops(world)
    assert world.orders.answered("west") == 2


def test_an_order_waits_while_the_control_plane_speaks_for_itself(world: World) -> None:
    world.orders.stop("west", 2)
    assert not stops(world, silent=False)


def test_an_order_that_the_control_plane_has_overtaken_stops_nobody_after_a_restart(world: World) -> None:
    world.orders.stop("west", 2)
    world.control.generation, world.control.active = 3, True
    world.turn()
    assert world.orders.answered("west") == 3
    world.start(bound=20.0)
    assert not stops(world)


def test_a_generation_is_not_answered_for_while_what_it_does_not_want_still_runs(world: World) -> None:
    world.orders.stop("west", 2)
    world.control.generation, world.kube.running = 2, 1
    world.turn()
    assert world.orders.answered("west") == 0
    world.kube.running = 0
    world.turn()
    assert world.orders.answered("west") == 2


def test_a_bucket_that_cannot_be_read_is_no_order(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> None:
        raise ClientError({"Error": {"Code": "ServiceUnavailable"}}, "GetObject")

    monkeypatch.setattr(world.orders, "stopping", refuse)
    assert not stops(world)


def left(world: World, *, planned: bool) -> None:
    """The control plane says that Airflow is to run here no more; two pods of it run yet."""
    world.control.active = True
    world.control.generation, world.control.manifests = 2, [workload("scheduler", 1)]
    world.turn()
    world.kube.running = 2
    world.control.active, world.control.drain = False, planned
    world.control.generation, world.control.manifests = 3, [workload("scheduler", 0)]
    world.turn()


def test_what_runs_where_airflow_is_left_as_planned_is_not_hurried(world: World) -> None:
    left(world, planned=True)
    assert (world.kube.stopped, world.kube.hurried) == ("", False)
    assert world.kube.objects[key_of(workload("scheduler", 0))]["spec"]["replicas"] == 0
    assert world.control.reports[-1]["running_pods"] == 2  # so the move waits


def test_a_failover_waits_for_nothing(world: World) -> None:
    left(world, planned=False)
    assert world.kube.stopped == "hurry"


def test_what_drains_is_hurried_once_the_planned_move_is_over(world: World) -> None:
    left(world, planned=True)
    world.control.drain = False
    world.turn()
    assert world.kube.hurried
    world.kube.hurried, world.kube.running = False, 0
    world.turn()
    assert not world.kube.hurried  # there is nothing any more


def test_what_drains_where_a_region_is_cut_off_goes_on_and_is_hurried_when_it_is_alone(world: World) -> None:
    left(world, planned=True)
    assert not stops(world)
    assert not world.kube.hurried
    assert alone(world, control=True, database=True)
    assert world.kube.stopped == "hurry"


def test_an_order_in_the_bucket_says_whether_what_runs_may_come_to_its_end(world: World) -> None:
    world.kube.running = 2
    world.orders.stop("west", 2, drain=True)
    assert stops(world)
    assert (world.kube.stopped, world.kube.hurried) == ("drain", False)
    world.orders.stop("west", 2)  # the planned move failed, and now the region is failed over from
    stops(world)
    assert world.kube.hurried


def test_what_drains_by_the_control_planes_word_is_hurried_by_the_buckets(world: World) -> None:
    left(world, planned=True)
    world.orders.stop("west", 3, drain=True)
    stops(world)
    assert not world.kube.hurried
    world.orders.stop("west", 3)
    stops(world)
    assert world.kube.hurried


def test_what_drains_by_the_word_of_the_bucket_is_hurried_when_the_region_is_alone(world: World) -> None:
    world.kube.running = 2
    world.orders.stop("west", 2, drain=True)
    stops(world)
    alone(world, control=True, database=True)
    assert world.kube.hurried


def test_a_difference_is_seen_in_what_was_asked_for_only_and_shows_no_secret() -> None:
    wanted = {"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "x", "name": "s"},
              "stringData": {"password": "hidden"}}
    there = {key_of(wanted): {**wanted, "stringData": None, "data": {"password": "aGlkZGVu"}, "more": 1}}
    assert differences(there, [wanted]) == []
    assert [str(d) for d in differences({}, [wanted])] == ["Secret x/s: missing"]
    assert "hidden" not in repr(differences({}, [wanted]))
