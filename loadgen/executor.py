"""A task executor that drives Airflow's real task execution API without running processes.

What is real: the scheduler that hands over workloads, the task execution API (run, heartbeat,
XCom, state) with all its checks and its writes to the metadata database, the log objects in S3
under Airflow's own remote-log path. What is **synthetic**: between "running" and "success" a task
only waits; its side effect is a message to the witness instead of a write to somebody's system.

One worker thread per scheduler does all of it, so that a slow S3 or a database that is gone
holds up tasks, as it would, and never the scheduler loop.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
import logging
import os
import queue
import random
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
from airflow.api_fastapi.execution_api.app import InProcessExecutionAPI
from airflow.executors.base_executor import BaseExecutor
from airflow.jobs.job import Job, JobState
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
from sqlalchemy import update

from loadgen.content import content, microseconds, text_content
from loadgen.shapes import BY_DAG, task_seconds
from loadgen.wire.aws import aws_client
from loadgen.wire.http import http_client
from loadgen.witness import WitnessClient

log = logging.getLogger(__name__)
LOG_ATTEMPTS_FOR_S = 120.0
"""How long an upload of a task's log is tried again before it is given up."""
REPORTED_WITHIN_S = 3.0
"""What a task that has had its effect is given, when its scheduler is told to stop, to report its success, to
upload its log and to be told to the witness."""
KILLED_LATE_S = 1.0
"""How much later than announced a process may be killed."""
XCOM_KEY = "return_value"
SOON = 3600.0
"""So long overdue that it comes first."""
HANDOVER_S = 2.0
"""Completions are handed to the scheduler in batches, so far apart (``DR_DRILL_HANDOVER_SECONDS``).
Airflow's loop runs again at once after every completion; on two cores a fleet would do nothing but
loop. The task's state is in the database before (the task execution API wrote it), so nothing that is
measured waits for this."""
EXECUTION_API = InProcessExecutionAPI()
"""Built once in the warm process and shared by its children: building it takes seconds."""
WARMING = False
"""Set while the process that schedulers are forked from warms up: then no thread may start."""


@dataclass(order=True)
class Due:
    """The next thing to do for a running task instance."""

    at: float
    order: int
    act: str = field(compare=False)
    task: RunningTask = field(compare=False)


@dataclass
class RunningTask:
    """A task instance between its start and its end."""

    key: Any
    id: str
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int
    started: datetime | None = None
    """When this try began, as Airflow is told: once, however often it has to be told."""
    had_effect: bool = False
    ends: float = 0.0
    lines: list[str] = field(default_factory=list)

    def say(self, event: str) -> None:
        """Add a line to the task's log, in the form Airflow 3 writes and reads."""
        stamp = datetime.now(UTC).isoformat()
        self.lines.append(json.dumps({"timestamp": stamp, "level": "info", "event": event}))

    @property
    def log_path(self) -> str:
        """Airflow's ``[logging] log_filename_template``, filled in."""
        mapped = f"map_index={self.map_index}/" if self.map_index >= 0 else ""
        return (f"dag_id={self.dag_id}/run_id={self.run_id}/task_id={self.task_id}/"
                f"{mapped}attempt={self.try_number}.log")

    def result(self, deployment: str) -> str:
        """What it returns: a value that no other try of any task returns."""
        return (f"{deployment}/{self.dag_id}/{self.run_id}/{self.task_id}/{self.map_index}"
                f"/{self.try_number}")


class SyntheticExecutor(BaseExecutor):
    """Runs no process: walks each task instance through its life over the task execution API."""

    is_local = False

    def start(self) -> None:
        """Begin to work (called by the scheduler, in the scheduler's process)."""
        self._worker = Worker()
        if not WARMING:
            self._worker.start()

    def _process_workloads(self, workloads: Sequence[Any]) -> None:
        for workload in workloads:
            ti = workload.ti
            self.queued_tasks.pop(ti.key, None)
            self.running.add(ti.key)
            self._worker.begin(RunningTask(
                ti.key, str(ti.id), ti.dag_id, ti.run_id, ti.task_id, ti.map_index, ti.try_number,
            ))

    def sync(self) -> None:
        """Hand finished tasks to the scheduler."""
        for key, state in self._worker.finished():
            if state == "success":
                self.success(key)
            else:
                self.fail(key)

    def try_adopt_task_instances(self, tis: Sequence[Any]) -> Sequence[Any]:
        """Adopt nothing: this executor's tasks die with their scheduler's process."""
        return tis

    def end(self) -> None:
        """Let what runs come to its end, when the scheduler was told to stop (by SIGTERM: SystemExit).

        A task that has had its effect is always given a few seconds to report its success. The others are
        given ``DR_DRILL_DRAIN_SECONDS``, and what has not ended by then is left as it is. Where that may not
        be waited for, this process is killed ``DR_DRILL_STOP_SECONDS`` after it was told to stop, which it
        cannot know. So until they have passed no task has its effect, and none is killed before its report.

        A scheduler that failed goes at once, and its tasks end with the process, as a worker's would.
        """
        worker: Worker | None = getattr(self, "_worker", None)
        if not isinstance(sys.exception(), SystemExit) or worker is None or not worker.is_alive():
            return
        drain = float(os.environ.get("DR_DRILL_DRAIN_SECONDS", "0"))
        hold = float(os.environ.get("DR_DRILL_STOP_SECONDS", "0")) + KILLED_LATE_S if drain else 0.0
        worker.stop(drain, hold)
        if drain:
            try:
                self._end_job()
            except Exception as error:
                log.warning("the scheduler's job could not be ended yet: %r", error)
        worker.join(hold + drain + REPORTED_WITHIN_S)

    def _end_job(self) -> None:
        """End the scheduler's job now, although its tasks go on: so they do elsewhere, in workers.

        The next scheduler takes what is left then, even if this process is killed, without waiting until the
        job's last heartbeat is old.
        """
        with create_session() as session:
            session.execute(update(Job).where(Job.id == self.job_id).values(
                state=JobState.SUCCESS, end_date=datetime.now(UTC)))

    def terminate(self) -> None:
        """Stop at once."""

    def get_task_log(self, ti: Any, try_number: int) -> tuple[list[str], list[str]]:
        """Nothing is kept here: a log is readable once it is in S3."""
        return [], []


class Worker(threading.Thread):
    """The thread in which the tasks of one scheduler live."""

    def __init__(self) -> None:
        super().__init__(name="synthetic-tasks", daemon=True)
        self._arrived: queue.SimpleQueue[RunningTask | None] = queue.SimpleQueue()
        """None wakes the thread."""
        self._finished: queue.SimpleQueue[tuple[Any, str]] = queue.SimpleQueue()
        self._due: list[Due] = []
        self._order = itertools.count()
        self._chance = random.Random()
        self._api: httpx.Client | None = None
        self._next_batch = 0.0
        self._handover = float(os.environ.get("DR_DRILL_HANDOVER_SECONDS", HANDOVER_S))
        self._stopping = False
        self._effects_from = self._effects_until = 0.0
        """When tasks may have their effects once the worker was told to stop (monotonic)."""

    def begin(self, task: RunningTask) -> None:
        """Start a task instance (from the scheduler's thread)."""
        self._arrived.put(task)

    def finished(self) -> list[tuple[Any, str]]:
        """Take the tasks that ended since the last batch, with their state, when one is due."""
        ended: list[tuple[Any, str]] = []
        if time.monotonic() < self._next_batch:
            return ended
        self._next_batch = time.monotonic() + self._handover
        while True:
            try:
                ended.append(self._finished.get_nowait())
            except queue.Empty:
                return ended

    def stop(self, drain: float, hold: float) -> None:
        """Begin no task any more, and end with those that run (from the scheduler's thread).

        Tasks may have their effects for ``drain`` seconds, and these begin ``hold`` seconds from now.
        """
        self._effects_from = time.monotonic() + hold
        self._effects_until = self._effects_from + drain
        self._stopping = True
        self._arrived.put(None)

    def run(self) -> None:
        """Do what is due, wait for what arrives, until told to stop."""
        self._base = float(os.environ["DR_DRILL_TASK_SECONDS"])
        self._beat = float(os.environ["AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL"])
        self._deployment = os.environ["DR_DRILL_DEPLOYMENT"]
        self._region = os.environ["DR_DRILL_REGION"]
        self._bucket, _, self._prefix = (
            os.environ["AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER"]
            .removeprefix("s3://").partition("/")
        )
        self._api = http_client(
            transport=EXECUTION_API.transport, base_url="http://in-process/", timeout=60
        )
        self._s3 = aws_client(
            "s3", endpoint=os.environ["DR_DRILL_AWS_ENDPOINT"], region=os.environ["AWS_DEFAULT_REGION"],
            access_key=os.environ["AWS_ACCESS_KEY_ID"], secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
            connect=2, read=3, request_checksum_calculation="when_required")
        self._witness = WitnessClient.of_pod()
        while not self._over():
            wait = max(0.0, self._due[0].at - time.monotonic()) if self._due else 1.0
            with contextlib.suppress(queue.Empty):
                if (task := self._arrived.get(timeout=min(wait, 1.0))) is not None:
                    self._plan(0.0, "start", task)
            while self._due and self._due[0].at <= time.monotonic():
                due = heapq.heappop(self._due)
                try:
                    if self._lets(due):
                        getattr(self, f"_{due.act}")(due.task)
                except httpx.HTTPStatusError as error:
                    # The API refused: somebody else (a newer scheduler) owns this task now.
                    log.warning("%s of %s refused: %s", due.act, due.task.key, error.response.text)
                    self._finished.put((due.task.key, "failed"))
                except Exception as error:
                    log.warning("%s of %s failed, trying again: %r", due.act, due.task.key, error)
                    self._plan(1.0, due.act, due.task)
        self._witness.flush(REPORTED_WITHIN_S)

    def _over(self) -> bool:
        """Whether it was told to stop, and nothing is left that may still come to its end."""
        if not self._stopping:
            return False
        if time.monotonic() < self._effects_until:
            return all(due.act == "start" for due in self._due)
        return not any(due.task.had_effect for due in self._due)

    def _lets(self, due: Due) -> bool:
        """Whether a worker does this although it was told to stop; what it may do later is planned again."""
        if not self._stopping or due.task.had_effect or due.act not in ("start", "finish"):
            return True
        now = time.monotonic()
        if due.act == "start" or now >= self._effects_until:
            return False
        if now < self._effects_from:
            self._plan(self._effects_from - now, due.act, due.task)
            return False
        # Its scheduler's job is over: where there is a new one, the task is somebody else's by now.
        self._call(*heartbeat_call(due.task.id))
        return True

    # -- a task's life ------------------------------------------------------------------

    def _start(self, task: RunningTask) -> None:
        task.started = task.started or datetime.now(UTC)
        self._call(*run_call(task.id, task.started))
        task.ends = time.monotonic() + task_seconds(task.dag_id, self._base, self._chance)
        task.say(f"synthetic task started, try {task.try_number}")
        self._tell("start", task, c=microseconds(task.started))
        self._next(task)

    def _heartbeat(self, task: RunningTask) -> None:
        self._call(*heartbeat_call(task.id))
        self._next(task)

    def _finish(self, task: RunningTask) -> None:
        # The side effect comes before the state, as in a real task: a task whose success could
        # not be reported has had its effect all the same. It is had once: what is tried again
        # after a failure is what follows.
        if not task.had_effect:
            self._tell("effect", task)
            task.had_effect = True
        shape = BY_DAG.get(task.dag_id)
        if shape is not None and shape.xcom:
            value = task.result(self._deployment)
            self._call(*xcom_call(task.dag_id, task.run_id, task.task_id, value))
            self._tell("ack", task, s="airflow", k="xcom", key=XCOM_KEY, c=text_content(value))
        task.say("synthetic task succeeded")
        # Before anything else that is due: between effect and state lies the window in which a
        # task that is killed has had its effect and is run again.
        self._plan(-SOON, "report", task)

    def _report(self, task: RunningTask) -> None:
        self._call(*success_call(task.id))
        assert task.started is not None
        self._tell("ack", task, s="airflow", k="state", c=microseconds(task.started))
        self._finished.put((task.key, str(TaskInstanceState.SUCCESS)))
        task.ends = time.monotonic()
        self._plan(0.0, "upload", task)

    def _upload(self, task: RunningTask) -> None:
        if time.monotonic() > task.ends + LOG_ATTEMPTS_FOR_S:
            log.warning("the log of %s was given up", task.key)
            return
        key = f"{self._prefix}/{task.log_path}"
        body = "\n".join(task.lines).encode() + b"\n"
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=body)
        self._tell("ack", task, s="task-logs", key=key, c=content(body))

    # -- helpers ------------------------------------------------------------------------

    def _next(self, task: RunningTask) -> None:
        left = task.ends - time.monotonic()
        if left > self._beat:
            self._plan(self._beat, "heartbeat", task)
        else:
            self._plan(left, "finish", task)

    def _plan(self, after: float, act: str, task: RunningTask) -> None:
        heapq.heappush(self._due, Due(time.monotonic() + after, next(self._order), act, task))

    def _call(self, method: str, path: str, body: Any) -> None:
        assert self._api is not None
        answer = self._api.request(method, path, json=body)
        if answer.status_code >= 500:
            raise RuntimeError(f"{method} {path}: {answer.status_code}")
        answer.raise_for_status()

    def _tell(self, event: str, task: RunningTask, **more: Any) -> None:
        self._witness.tell(
            e=event, d=self._deployment, r=self._region, dag=task.dag_id, run=task.run_id,
            task=task.task_id, map=task.map_index, n=task.try_number, ti=task.id, **more,
        )


# -- the calls of Airflow's task execution API: method, path, body --------------------------

Call = tuple[str, str, Any]


def run_call(ti: str, started: datetime) -> Call:
    """The task instance begins to run."""
    return "PATCH", f"task-instances/{ti}/run", {
        "state": "running", "hostname": os.environ.get("HOSTNAME", "pod"), "unixname": "airflow",
        "pid": os.getpid(), "start_date": started.isoformat()}


def heartbeat_call(ti: str) -> Call:
    """It is still alive."""
    return "PUT", f"task-instances/{ti}/heartbeat", {
        "hostname": os.environ.get("HOSTNAME", "pod"), "pid": os.getpid()}


def xcom_call(dag: str, run: str, task: str, value: Any) -> Call:
    """It returns a value."""
    return "POST", f"xcoms/{dag}/{run}/{task}/{XCOM_KEY}", value


def success_call(ti: str) -> Call:
    """It has succeeded."""
    return "PATCH", f"task-instances/{ti}/state", {
        "state": "success", "end_date": datetime.now(UTC).isoformat(), "task_outlets": [], "outlet_events": []}


def life_of(ti: str, dag: str, run: str, task: str) -> list[Call]:
    """All calls of one uneventful life."""
    return [run_call(ti, datetime.now(UTC)), heartbeat_call(ti), xcom_call(dag, run, task, "done"),
            success_call(ti)]
