"""The shapes of synthetic load, known to the Dags, to the executor and to Locust alike.

A shape says what a Dag looks like and how its tasks behave; the length of a task is a multiple
of the drill's ``fleet.task.duration``. Nothing here imports Airflow.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

CANARY = "canary"
CANARY_INTERVAL_S = 10.0
"""Seconds between two canary runs of a Deployment, unless the drill says otherwise
(``fleet.canary``). The canary is what RTO is measured with, so its interval is part of every RTO."""
CANARY_SECONDS = 1.0


@dataclass(frozen=True)
class Shape:
    """One kind of Dag: ``width`` tasks side by side, or ``depth`` one after the other."""

    dag_id: str
    width: int
    depth: int
    length: float
    """Task length as a multiple of the drill's task duration."""
    retries: bool
    """Whether its tasks may be retried (``fleet.task.retries`` times)."""
    xcom: bool
    weight: int
    """How often Locust picks it, relative to the others."""

    def task_ids(self) -> list[list[str]]:
        """Task ids, one inner list per layer; each layer waits for the one before it."""
        return [
            [f"work_{layer}_{column}" for column in range(self.width)]
            for layer in range(self.depth)
        ]


SHAPES = (
    Shape("wide", width=16, depth=1, length=1.0, retries=True, xcom=False, weight=5),
    Shape("strict", width=6, depth=1, length=1.0, retries=False, xcom=False, weight=3),
    Shape("chain", width=1, depth=4, length=0.3, retries=True, xcom=True, weight=1),
    Shape("long", width=4, depth=1, length=1.5, retries=True, xcom=True, weight=1),
)
BY_DAG = {shape.dag_id: shape for shape in SHAPES}


def task_seconds(dag_id: str, base: float, chance: random.Random) -> float:
    """How long a task instance runs: its shape's length, give or take a fifth."""
    if dag_id == CANARY:
        return CANARY_SECONDS
    shape = BY_DAG.get(dag_id)
    return base * (shape.length if shape else 1.0) * chance.uniform(0.8, 1.2)
