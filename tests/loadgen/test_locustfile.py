"""What Locust's users tell the witness, from a process that gevent has patched."""

import json
import subprocess
import sys
from pathlib import Path

from tests.harness.environments.embedded.conftest import until
from tests.loadgen.conftest import Place

PROCESS = """
import gevent.os
import locust  # patches, as the command does, before anything else is imported
from loadgen import locustfile
from loadgen.locustfile import events, witness
witness().tell(e="ack", s="airflow", k="dagrun", n=1)
print("told", flush=True)
gevent.os.tp_read(0, 1)  # which lets other greenlets run
events.quit.fire(exit_code=0)
"""


def test_an_acknowledged_dag_run_is_told_although_the_witness_was_away_when_it_was_made(
    place: Place, tmp_path: Path
) -> None:
    config = {"deployments": [], "dns": ["127.0.0.1", 53], "witness": place.address, "regions": {}}
    load = tmp_path / "users" / "load.json"
    load.parent.mkdir()
    load.write_text(json.dumps(config))
    users = subprocess.Popen([sys.executable, "-c", PROCESS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                             env={"DR_DRILL_LOAD": str(load), "PATH": "", "PYTHONPATH": str(Path.cwd())})
    assert users.stdout is not None
    assert users.stdin is not None
    assert users.stdout.readline() == "told\n"
    file, = (load.parent / "spool").glob("*.jsonl")
    assert json.loads(file.read_text())["n"] == 1
    place.open()
    until(lambda: place.numbers() == [1])
    users.stdin.close()
    assert users.wait(20) == 0
    assert list((load.parent / "spool").iterdir()) == []
