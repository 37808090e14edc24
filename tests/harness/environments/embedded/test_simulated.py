"""What a report says is simulated holds of the code that does it."""

from __future__ import annotations

import pytest

from harness.environments.embedded import connection
from harness.environments.embedded.access import SIMULATED
from harness.environments.embedded.aws import guard, replication
from harness.environments.embedded.node import airflow_pod
from harness.environments.embedded.postgres import SETTINGS
from loadgen import images


def sentence(part: str) -> str:
    found, = (text for text in SIMULATED if part in text)
    return found


@pytest.mark.parametrize(("part", "said"), [
    ("rds.global_db_rpo", f"every {guard.LOOK_S * 1000:.0f} ms"),
    ("Write-ahead log between", f"up to {connection.GATHER_S * 1000:.0f} ms"),
    ("Copies between buckets", f"batches of {replication.GATHER_S * 1000:.0f} ms"),
    ("Copies between buckets", f"{images.LAYER_BYTES} bytes, one pushed every {images.EVERY_S:.0f} s"),
    ("An API server is one", f"with {airflow_pod.API_THREADS} threads"),
    ("A region's power", f"fsync {SETTINGS['fsync']}")])
def test_a_figure_in_it_is_the_codes(part: str, said: str) -> None:
    assert said in sentence(part)
