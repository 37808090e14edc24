"""What the tasks of a scheduler come to when it is told to stop."""

import json
import queue
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import httpx
import pytest

ENVIRONMENT = {
    "DR_DRILL_TASK_SECONDS": "10", "DR_DRILL_DEPLOYMENT": "team-00", "DR_DRILL_REGION": "west",
    "DR_DRILL_AWS_ENDPOINT": "http://aws", "DR_DRILL_WITNESS_HOST": "127.0.0.1", "DR_DRILL_WITNESS_PORT": "1",
    "AWS_DEFAULT_REGION": "west", "AWS_ACCESS_KEY_ID": "of-the-west", "AWS_SECRET_ACCESS_KEY": "unused",
    "DR_DRILL_WITNESS_TOKEN": "t", "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "3",
    "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": "s3://logs/a"}
HOLD_S = 4.0


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The module, imported with a home of its own for Airflow, which it writes to when it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
        import loadgen.executor

    return loadgen.executor


class World:
    """A worker whose time passes when it waits, and what it does to the world around it."""

    def __init__(self, executor: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.did: dict[str, list[float]] = {}
        """What was done (``success of a``, ``effect of a``...) to when."""
        self.refused: set[str] = set()
        self.failing: set[str] = set()
        self.lengths: dict[str, float] = {}
        self.sent = False
        self._later: list[tuple[float, Callable[[], object]]] = []
        self._arrived: list[Any] = []
        for name, value in ENVIRONMENT.items():
            monkeypatch.setenv(name, value)
        world = self

        class Witness:
            def tell(self, **record: Any) -> None:
                world.did.setdefault(f"{record['e']} of {record['task']}", []).append(world.now)

            def flush(self, _: float) -> None:
                world.sent = True

        def witness(*_: Any, **__: Any) -> Witness:
            return Witness()

        witness.of_pod = witness  # type: ignore[attr-defined]
        s3 = SimpleNamespace(put_object=self._upload)
        for name, value in {
            "time": SimpleNamespace(monotonic=lambda: self.now, time=lambda: self.now),
            "EXECUTION_API": SimpleNamespace(transport=httpx.MockTransport(self._answer)),
            "WitnessClient": witness, "aws_client": lambda *_, **__: s3,
            "task_seconds": lambda dag, *_: self.lengths[dag]}.items():
            monkeypatch.setattr(executor, name, value)
        self._task = executor.RunningTask
        self.worker = executor.Worker()
        self.worker._arrived = SimpleNamespace(put=self._arrived.append, get=self._arrive)

    def at(self, when: float, act: Callable[[], object]) -> None:
        self._later.append((when, act))
        self._later.sort(key=lambda due: due[0])

    def begins(self, when: float, name: str, *, seconds: float) -> None:
        """A task is handed to the worker; it runs so long."""
        self.lengths[name] = seconds
        self.at(when, lambda: self.worker.begin(self._task(name, name, name, "r", name, -1, 1)))

    def run(self, *, told: float, drain: float) -> float:
        """Until the worker, which is told to stop some time, has come to its end; when that was."""
        self.at(told, lambda: self.worker.stop(drain, HOLD_S if drain else 0.0))
        self.worker.run()
        return self.now

    def when(self, what: str) -> list[float]:
        return self.did.get(what, [])

    def _arrive(self, timeout: float) -> Any:
        if not self._arrived:
            end = self.now + timeout
            if self._later and self._later[0][0] <= end:
                self.now, act = self._later.pop(0)
                act()
            else:
                self.now = end
        if not self._arrived:
            raise queue.Empty
        return self._arrived.pop(0)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        _, task, call = request.url.path.strip("/").split("/")[-3:]
        what = "success" if call == "state" else call
        self.did.setdefault(f"{what} of {task}", []).append(self.now)
        if f"{what} of {task}" in self.failing:
            return httpx.Response(503)
        return httpx.Response(409 if task in self.refused else 200)

    def _upload(self, Body: bytes, Key: str, **_: Any) -> dict[str, Any]:
        assert [json.loads(line) for line in Body.splitlines()]
        self.did.setdefault(f"log of {Key.split('task_id=')[1].split('/')[0]}", []).append(self.now)
        return {}


@pytest.fixture
def world(executor: ModuleType, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(executor, monkeypatch)


def test_what_runs_comes_to_its_end_and_then_the_scheduler_does(world: World) -> None:
    world.begins(0.0, "a", seconds=10.0)
    assert world.run(told=2.0, drain=30.0) == pytest.approx(10.0, abs=0.1)
    assert len(world.when("effect of a")) == len(world.when("success of a")) == len(world.when("log of a")) == 1
    assert len(world.when("heartbeat of a")) >= 3
    assert world.sent


def test_a_scheduler_in_which_nothing_runs_ends_at_once(world: World) -> None:
    assert world.run(told=2.0, drain=30.0) == 2.0


def test_nothing_begins_any_more(world: World) -> None:
    world.begins(0.0, "a", seconds=10.0)
    world.begins(3.0, "b", seconds=1.0)
    world.run(told=2.0, drain=30.0)
    assert world.when("success of a")
    assert not world.when("run of b")


def test_what_has_not_ended_in_time_is_left_as_it_is(world: World) -> None:
    world.begins(0.0, "a", seconds=100.0)
    assert world.run(told=2.0, drain=30.0) == pytest.approx(2.0 + HOLD_S + 30.0, abs=1.0)
    assert not world.when("effect of a")
    assert not world.when("success of a")


def test_until_it_is_known_that_nobody_kills_the_scheduler_no_task_has_its_effect(world: World) -> None:
    world.begins(0.0, "a", seconds=3.0)
    world.run(told=2.0, drain=30.0)
    assert world.when("effect of a") == world.when("success of a")
    assert world.when("effect of a")[0] >= 2.0 + HOLD_S


@pytest.mark.parametrize("drain", [0.0, 30.0])
def test_one_that_has_had_its_effect_reports_it_however_long_the_others_are_given(
    world: World, drain: float
) -> None:
    world.begins(0.0, "a", seconds=1.5)
    world.begins(0.0, "b", seconds=100.0)
    world.failing.add("success of a")
    world.at(1.9, world.failing.clear)
    ended = world.run(told=1.8, drain=drain)
    assert len(world.when("effect of a")) == 1
    assert world.when("success of a") == [pytest.approx(1.5), pytest.approx(2.5)]
    assert world.when("log of a")
    assert not world.when("effect of b")
    if not drain:
        assert ended == pytest.approx(2.5)


def test_to_report_includes_what_it_returns(world: World) -> None:
    world.begins(0.0, "chain", seconds=1.5)
    world.failing.add("return_value of chain")
    world.at(1.9, world.failing.clear)
    assert world.run(told=1.8, drain=0.0) == pytest.approx(2.5)
    assert len(world.when("effect of chain")) == len(world.when("success of chain")) == 1


def test_one_whose_effect_comes_last_in_the_time_to_drain_reports_it_after_that(world: World) -> None:
    world.begins(0.0, "a", seconds=15.9)
    world.failing.add("success of a")
    world.at(16.5, world.failing.clear)
    assert world.run(told=2.0, drain=10.0) == pytest.approx(16.9, abs=0.1)
    assert len(world.when("effect of a")) == 1
    assert world.when("log of a")


def test_a_task_that_the_next_scheduler_has_taken_has_no_effect_here(world: World) -> None:
    world.begins(0.0, "a", seconds=10.0)
    world.at(9.5, lambda: world.refused.add("a"))
    world.run(told=2.0, drain=30.0)
    assert not world.when("effect of a")


class Told:
    """Stands for the worker of a scheduler that ends."""

    def __init__(self) -> None:
        self.stopped: list[tuple[float, float]] = []
        self.waited: list[float] = []

    def is_alive(self) -> bool:
        return True

    def stop(self, drain: float, hold: float) -> None:
        self.stopped.append((drain, hold))

    def join(self, timeout: float) -> None:
        self.waited.append(timeout)


def ends(executor: ModuleType, monkeypatch: pytest.MonkeyPatch, why: BaseException | None) -> tuple[Told, bool]:
    """A scheduler ends for a reason; what its worker was told, and whether its job was ended before."""
    made, job = executor.SyntheticExecutor.__new__(executor.SyntheticExecutor), []
    monkeypatch.setattr(executor.SyntheticExecutor, "_end_job", lambda _: job.append(1))
    made._worker = Told()
    try:
        try:
            if why is not None:
                raise why
        finally:
            made.end()
    except BaseException:
        assert why is sys.exception()
    return made._worker, bool(job)


def test_a_scheduler_that_is_told_to_stop_waits_as_long_as_it_is_configured(
    executor: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DR_DRILL_STOP_SECONDS", "3")
    monkeypatch.setenv("DR_DRILL_DRAIN_SECONDS", "30")
    told, job_ended = ends(executor, monkeypatch, SystemExit(0))
    assert (told.stopped, job_ended) == ([(30.0, 4.0)], True)
    assert told.waited == [34.0 + executor.REPORTED_WITHIN_S]
    monkeypatch.setenv("DR_DRILL_DRAIN_SECONDS", "0.0")
    told, job_ended = ends(executor, monkeypatch, SystemExit(0))
    assert (told.stopped, told.waited, job_ended) == ([(0.0, 0.0)], [executor.REPORTED_WITHIN_S], False)


@pytest.mark.parametrize("why", [RuntimeError("the database is gone"), None])
def test_a_scheduler_that_fails_goes_at_once(
    executor: ModuleType, monkeypatch: pytest.MonkeyPatch, why: BaseException | None
) -> None:
    monkeypatch.setenv("DR_DRILL_DRAIN_SECONDS", "30")
    told, job_ended = ends(executor, monkeypatch, why)
    assert (told.stopped, told.waited, job_ended) == ([], [], False)
