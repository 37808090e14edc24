"""What a task's life tells Airflow, S3 and the witness."""

import json
from datetime import datetime
from types import ModuleType, SimpleNamespace
from typing import Any

import httpx
import pytest

from loadgen.content import content, microseconds, text_content
from tests.loadgen.conftest import Told


class Airflow:
    """Airflow's task execution API, and S3, as far as a task's life asks them."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.failing: set[str] = set()
        self.objects: dict[str, bytes] = {}

    def answer(self, request: httpx.Request) -> httpx.Response:
        what = request.url.path.rsplit("/", 1)[1]
        if what in self.failing:
            return httpx.Response(500)
        self.calls.append((what, json.loads(request.content)))
        return httpx.Response(200, json={})

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> None:
        self.objects[f"{Bucket}/{Key}"] = Body

    def said(self, what: str) -> list[Any]:
        """The bodies of the calls of a kind that were taken."""
        return [body for call, body in self.calls if call == what]


@pytest.fixture
def airflow() -> Airflow:
    return Airflow()


@pytest.fixture
def worker(executor: ModuleType, airflow: Airflow, told: Told) -> Any:
    made = executor.Worker()
    made._api = httpx.Client(transport=httpx.MockTransport(airflow.answer), base_url="http://in-process/")
    made._s3 = SimpleNamespace(put_object=airflow.put_object)
    made._witness, made._deployment, made._region = told, "team-00", "west"
    made._base, made._beat, made._bucket, made._prefix = 10.0, 5.0, "logs", "ns"
    return made


@pytest.fixture
def task(executor: ModuleType) -> Any:
    return executor.RunningTask("key", "id", "chain", "manual__1", "work_0_0", -1, 2)


def test_the_start_date_that_airflow_is_told_is_the_one_that_the_witness_hears_of_at_start_and_success(
    worker: Any, task: Any, airflow: Airflow, told: Told
) -> None:
    worker._start(task)
    worker._report(task)
    date = microseconds(datetime.fromisoformat(airflow.said("run")[0]["start_date"]))
    assert [record["c"] for record in told.of("start")] == [date]
    state, = told.of("ack", "airflow")
    assert (state["k"], state["c"], state["n"]) == ("state", date, 2)


def test_a_try_has_one_start_date_however_often_it_is_begun(
    worker: Any, task: Any, airflow: Airflow, told: Told
) -> None:
    airflow.failing.add("run")
    with pytest.raises(RuntimeError):
        worker._start(task)
    first, airflow.failing = task.started, set()
    worker._start(task)
    assert airflow.said("run")[0]["start_date"] == first.isoformat()
    assert len(told.of("start")) == 1


def test_a_returned_value_is_of_its_try_alone_and_acknowledged_with_its_content(
    worker: Any, task: Any, airflow: Airflow, told: Told
) -> None:
    worker._finish(task)
    value, = airflow.said("return_value")
    assert value == "team-00/chain/manual__1/work_0_0/-1/2"
    xcom, = told.of("ack", "airflow")
    assert (xcom["k"], xcom["key"], xcom["c"]) == ("xcom", "return_value", text_content(value))


def test_an_effect_is_had_once_although_what_follows_it_is_tried_again(
    worker: Any, task: Any, airflow: Airflow, told: Told
) -> None:
    airflow.failing.add("return_value")
    for _ in range(3):
        with pytest.raises(RuntimeError):
            worker._finish(task)
    airflow.failing.clear()
    worker._finish(task)
    assert len(told.of("effect")) == 1
    assert len(told.of("ack", "airflow")) == 1


def test_a_log_is_acknowledged_with_the_content_of_its_object(
    worker: Any, task: Any, airflow: Airflow, told: Told
) -> None:
    task.ends = float("inf")
    task.say("something")
    worker._upload(task)
    log, = told.of("ack", "task-logs")
    assert log["c"] == content(airflow.objects["logs/" + log["key"]])
    assert "v" not in log
