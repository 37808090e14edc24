"""The shapes of load."""

import random

from loadgen.shapes import CANARY, SHAPES, task_seconds


def test_the_load_has_every_kind_of_task_that_a_drill_speaks_of() -> None:
    assert {shape.retries for shape in SHAPES} == {True, False}
    assert any(shape.xcom for shape in SHAPES)
    assert any(len(shape.task_ids()) > 1 for shape in SHAPES)  # a chain
    assert any(shape.width >= 6 for shape in SHAPES)  # a wide fan-out
    assert any(shape.length > 1 for shape in SHAPES)  # long tasks


def test_a_task_takes_its_shapes_share_of_the_drills_duration_give_or_take_a_fifth() -> None:
    chance = random.Random(1)
    for shape in SHAPES:
        for _ in range(50):
            seconds = task_seconds(shape.dag_id, 30.0, chance)
            assert 0.8 <= seconds / (30.0 * shape.length) <= 1.2
    assert task_seconds(CANARY, 30.0, chance) == 1.0
