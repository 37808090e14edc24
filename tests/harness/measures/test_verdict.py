"""From figures to a verdict, and to an exit code."""

from typing import Any

import pytest

from reports import document
from tests.conftest import Story, held

TARGETS = {"rto": 60.0, "rpo": {"metadata": 5.0}, "split-brain-writes": 0, "tasks-lost": 0}


def good(story: Story, **options: Any) -> None:
    story.start("a", targets=options.pop("targets", TARGETS), **options)
    story.event(3, "load.started", asked=10)
    story.event(4, "load.reached", running=11)
    story.event(99, "load.at-fault", running=12)
    story.ack(99, 1)
    story.ack(105, 2, region="east")
    story.failover(100, 101, 106, 140, held({("a", "west/w", 1), ("a", "east/w", 2)}))
    story.links.append({"t": 102, "event": "connect", "caller": "orchestrator",
                        "site": "secondary", "service": "aws"})
    for at in range(110, 140, 2):
        story.probe(at, "a", scheduled=at - 1)


def finish(story: Story, cleanup: str = "done") -> dict[str, Any]:
    story.event(300, "cleanup", outcome=cleanup)
    return document.from_evidence(story.evidence())


def test_a_run_that_meets_every_target_passes(story: Story) -> None:
    good(story)
    report = finish(story)
    assert (report["verdict"], report["reasons"]) == ("PASS", [])
    assert document.exit_code(report) == 0
    assert report["fleet"]["concurrent_tasks_at_fault"] == 12
    assert report["transitions"][0]["t_fault"] == "1970-01-01T00:01:40.000Z"


def test_a_missed_target_fails_and_says_which(story: Story) -> None:
    good(story, targets={"rto": 5.0})
    report = finish(story)
    assert document.exit_code(report) == 1
    assert [t["verdict"] for t in report["targets"]] == ["FAIL"]
    assert "RTO" in report["targets"][0]["name"]


def test_a_lost_write_beyond_the_target_fails(story: Story) -> None:
    good(story, targets={"rpo": {"metadata": 0.5}})
    story.ack(90, 50)
    assert finish(story)["verdict"] == "FAIL"


@pytest.mark.parametrize("gap", ["load", "late", "unprobed", "links"])
def test_evidence_with_a_gap_is_inconclusive_never_a_pass(story: Story, gap: str) -> None:
    good(story)
    if gap == "load":
        story.events = [e for e in story.events if e.kind != "load.reached"]
    if gap == "late":
        for at in range(40):
            story.probe(141 + at, "a", late=900.0)
    if gap == "unprobed":
        story.events = [e for e in story.events if e.kind != "probe"]
    if gap == "links":
        story.links.clear()
    report = finish(story)
    if gap == "unprobed":  # nothing was seen to come back: that is worse than a gap
        assert report["verdict"] == "FAIL"
    else:
        assert document.exit_code(report) == 3
    assert report["reasons"]


def test_a_target_without_a_figure_is_inconclusive(story: Story) -> None:
    good(story, targets={"tasks-lost": 0})
    story.events = [e for e in story.events if e.kind != "settled"]
    assert finish(story)["verdict"] == "INCONCLUSIVE"


def test_a_failed_clean_up_neither_hides_nor_fakes_the_result(story: Story) -> None:
    good(story)
    report = finish(story, cleanup="failed")
    assert (report["verdict"], document.exit_code(report)) == ("PASS", 5)


def test_a_refused_failover_fails_the_drill(story: Story) -> None:
    good(story)
    story.event(150, "failure", reason="the failover was refused: 409")
    assert finish(story)["verdict"] == "FAIL"


def test_an_aborted_run_exits_130_and_a_broken_one_4(story: Story) -> None:
    good(story)
    story.event(150, "run.aborted", reason="received SIGINT")
    aborted = finish(story)
    assert document.exit_code(aborted) == 130
    assert aborted["verdict"] != "PASS"


def test_a_claim_that_fails_fails_the_drill_that_says_it_proves_it(story: Story) -> None:
    good(story, proves=["XR-10"])
    story.links.append({"t": 103, "event": "refused", "caller": "orchestrator", "site": "primary",
                        "service": "kubernetes"})
    report = finish(story)
    assert report["claims"][0]["verdict"] == "FAIL"
    assert report["verdict"] == "FAIL"
    assert report["reasons"] == ["XR-10 is not proven: 1 calls into the region left over 1 transition(s)"]
    assert report["transitions"][0]["dependency_audit"]["left_region"] == 1


def test_a_claim_that_no_check_covers_is_inconclusive(story: Story) -> None:
    good(story, proves=["XR-16"])
    report = finish(story)
    assert report["claims"][0]["verdict"] == "INCONCLUSIVE"
    assert document.exit_code(report) == 3


def test_a_run_that_breaks_nothing_reports_its_losses_as_steady_state(story: Story) -> None:
    story.start("a", targets={"writes-lost": 0, "split-brain-writes": 0})
    story.event(3, "load.started", asked=10)
    story.event(4, "load.reached", running=11)
    story.ack(10, 1)
    story.probe(11, "a", scheduled=10)
    story.snapshots["settled-1"] = held({("a", "west/w", 1)})
    story.event(30, "settled", snapshot="settled-1", since=20.0)
    report = finish(story)
    assert report["steady_state"]["rpo"]["metadata"]["lost"] == 0
    assert report["steady_state"]["rpo"]["metadata"]["acknowledged"] == 1
    assert report["verdict"] == "PASS"
