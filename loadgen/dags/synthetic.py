"""The synthetic Dags, generated from ``loadgen.shapes``. Airflow parses this file.

The task functions never run: ``loadgen.executor`` walks each task instance through Airflow's
task execution API instead of starting a process for it.
"""

from __future__ import annotations

import datetime as dt
import os
from typing import Any

from airflow.sdk import DAG, task

from loadgen.shapes import CANARY, CANARY_INTERVAL_S, SHAPES, Shape

CANARY_EVERY = float(os.environ.get("DR_DRILL_CANARY_SECONDS", CANARY_INTERVAL_S))
RETRIES = int(os.environ.get("DR_DRILL_TASK_RETRIES", "2"))
START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


def _dag_of(shape: Shape) -> Any:
    with DAG(
        shape.dag_id, start_date=START, schedule=None, catchup=False, max_active_runs=64,
        max_active_tasks=256, tags=["synthetic"],
        default_args={"retries": RETRIES if shape.retries else 0,
                      "retry_delay": dt.timedelta(seconds=2)},
    ) as dag:

        @task
        def work() -> int:
            return 1

        before: list[Any] = []
        for layer in shape.task_ids():
            current = [work.override(task_id=task_id)() for task_id in layer]
            for upstream in before:
                upstream >> current
            before = current
    return dag


for _shape in SHAPES:
    globals()[_shape.dag_id] = _dag_of(_shape)

with DAG(
    CANARY, start_date=START, schedule=dt.timedelta(seconds=CANARY_EVERY), catchup=False,
    max_active_runs=3, tags=["canary"], default_args={"retries": 0},
) as canary:

    @task
    def ping() -> str:
        """Answer; what is measured is that it ran."""
        return "pong"

    ping()
