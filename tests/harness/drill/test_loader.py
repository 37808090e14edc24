"""Drill files, good and bad."""

import json
from pathlib import Path

import pytest

from harness.drill.loader import InvalidDrill, load, parse
from harness.drill.schema import SCHEMA_FILE, json_schema

LIBRARY = Path(__file__).parents[3] / "drills"
GOOD = """\
apiVersion: dr-drill/v1
kind: Drill
metadata: {name: x}
phases:
  - load: {}
"""


def problems(text: str) -> list[str]:
    with pytest.raises(InvalidDrill) as caught:
        parse(text, Path("x.yaml"))
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("path", sorted(LIBRARY.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_drill_of_the_library_is_valid(path: Path) -> None:
    assert load(path).drill.metadata.name == path.stem


def test_the_drill_file_of_the_design_is_valid() -> None:
    drill = load(LIBRARY / "region-outage.yaml").drill
    assert drill.fleet.concurrent_tasks == 125
    assert [phase.kind for phase in drill.phases] == [
        "load", "fault", "failover", "settle", "heal", "failback", "settle"]
    assert drill.targets.rpo.task_logs == 30.0
    assert drill.targets.tasks_duplicated == 10


def test_the_json_schema_for_editors_is_the_one_of_the_models() -> None:
    assert SCHEMA_FILE.read_text() == json_schema()
    assert "concurrent_tasks" in json.dumps(json.loads(json_schema()))


def test_every_fault_is_listed_with_its_place() -> None:
    found = problems("""\
apiVersion: dr-drill/v1
kind: Drill
metadata: {name: Bad_Name, proves: [XR-99]}
fleet: {concurent_tasks: 5, task: {duration: 30}}
phases:
  - load: {}
  - fault: {region-outage: {region: third}}
""")
    assert found[0].startswith("x.yaml:3:12: metadata.name: must be lower case")
    assert found[1].startswith("x.yaml:3:37: metadata.proves, item 1: no such claim: 'XR-99'")
    assert found[2].endswith("'concurent_tasks' is not a key here; did you mean 'concurrent_tasks'?")
    assert "30 is not a duration; write for example 30s" in found[3]
    assert found[4].startswith("x.yaml:7:29: phase 2, fault.region-outage.region: must be 'primary' or 'secondary', not 'third'")
    assert len(found) == 5


@pytest.mark.parametrize(("text", "expected"), [
    ("", "x.yaml:1:1: the file is empty"),
    ("a: [1", "x.yaml:1:6: "),
    (GOOD.replace("kind: Drill\n", ""), "x.yaml:1:1: 'kind' is missing"),
    (GOOD + "  - failback:\n", "x.yaml:6:5: phase 2, failback: there is no failover before it"),
    (GOOD + "  - heal: {region: primary}\n", "x.yaml:6:5: phase 2, heal: there is no fault and no failover before it"),
    (GOOD.replace("- load: {}", "- settle: {}"), "a drill begins with load"),
    (GOOD.replace("- load: {}", "- {load: {}, settle: {}}"), "a phase has exactly one key"),
    (GOOD + "  - fault: {}\n", "name exactly one fault of: api-outage, link, manual-drift"),
    (GOOD + "kind: Drill\n", "x.yaml:6:1: the key 'kind' is given twice"),
    (GOOD + "  - fault: {link: {from: primary, to: primary, cut: true}}\n", "two different ends"),
    (GOOD + "targets: {rto: 1 hour}\n", "'1 hour' is not a duration"),
])
def test_bad_input_is_refused_with_a_reason(text: str, expected: str) -> None:
    assert any(expected in problem for problem in problems(text))


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidDrill, match="cannot be read: No such file"):
        load(tmp_path / "absent.yaml")


def test_a_target_that_nothing_in_the_drill_could_miss_is_refused_with_its_place() -> None:
    found = problems("""\
apiVersion: dr-drill/v1
kind: Drill
metadata: {name: quiet}
phases:
  - load: {}
  - failover: {expect: refused}
targets: {rto: 5m, rpo: {metadata: 1m}, writes-lost: 0, tasks-duplicated: 3}
""")
    assert [problem.split(": ", 1)[0] for problem in found] == ["x.yaml:7:11", "x.yaml:7:26"]
    assert all("no phase fails over or back; leave it out" in problem for problem in found)
    assert found[0].split(": ")[1] == "targets.rto"
    assert found[1].split(": ")[1] == "targets.rpo.metadata"


def test_a_drill_that_moves_may_name_every_target() -> None:
    loaded = parse("""\
apiVersion: dr-drill/v1
kind: Drill
metadata: {name: moves}
phases:
  - load: {}
  - failover: {planned: true}
targets: {rto: 5m, rpo: {metadata: 1m, task-logs: 1m, images: 1m}, tasks-against-retries: 0}
""", Path("x.yaml"))
    assert loaded.drill.targets.rto == 300.0
