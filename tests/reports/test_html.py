"""The page that people read."""

from reports import document, html
from tests.conftest import Story, held


def run_of_two(story: Story) -> Story:
    """A failover after which one Deployment comes back and one does not."""
    story.start("team-00", "team-01", targets={"rto": 60.0}, proves=["XR-10"])
    story.event(3, "phase.started", phase="load", index=0)
    story.event(4, "load.reached", running=11)
    story.event(50, "phase.ended", phase="load", index=0)
    story.event(60, "sample", states={"running": 11}, answered=2, lag={"state": "streaming"})
    story.usage += [
        {"t": at, "group": group, "part": part, "processes": 1, "cpu_s": cpu, "pss_mib": 512.0}
        for at, cpu in ((10, 1.0), (20, 5.0), (30, 9.0))
        for group, part in (("airflow", "scheduler"), ("harness", "drill"))]
    story.ack(99, 1)
    story.ack(90, 2)
    story.ack(105, 3, region="east")
    story.failover(100, 101, 106, 140, held({("a", "west/w", 1), ("a", "east/w", 3)}))
    for at in range(110, 140, 2):
        story.probe(at, "team-00", scheduled=at - 1)
        story.probe(at, "team-01", ok=False)
    story.event(150, "cleanup", outcome="done")
    return story


def test_the_page_names_each_deployment_and_says_who_never_came_back(story: Story) -> None:
    evidence = run_of_two(story).evidence()
    report = document.from_evidence(evidence)
    page = html.render(report, evidence)
    assert report["verdict"] == "FAIL"
    assert "team-00" in page
    assert page.count("never restored") == 1
    assert page.count("<svg") == 4  # timeline, tasks, recovery, ledger
    assert "until the promotion" in page


def test_the_page_counts_tasks_at_the_fault_and_says_so_when_no_fault_came(story: Story) -> None:
    run_of_two(story)
    quiet = story.evidence()
    page = html.render(document.from_evidence(quiet), quiet)
    assert "10 task instances asked to run at once (not counted: no fault came that disrupts)" in page
    story.event(59, "load.at-fault", running=12)
    counted = story.evidence()
    page = html.render(document.from_evidence(counted), counted)
    assert "12 task instances running at the fault (asked: 10)" in page


def test_the_parts_of_a_deployments_recovery_add_up_to_its_rto(story: Story) -> None:
    report = document.from_evidence(run_of_two(story).evidence())
    back = report["transitions"][0]["rto"]["deployments"]
    assert sum(back["team-00"]["split_s"].values()) == back["team-00"]["rto_s"]
    assert back["team-01"]["split_s"] is None


def test_what_the_run_cost_is_read_from_the_use_of_its_parts(story: Story) -> None:
    cost = document.from_evidence(run_of_two(story).evidence())["resources"]
    assert cost["cpu_s"] == {"airflow": {"scheduler": 9.0}, "harness": {"drill": 9.0}}
    assert cost["harness_share"] == 0.5
    assert cost["memory_peak_mib"] == 1024.0
    assert cost["load_held"]["cores"] == 0.8  # 16 CPU seconds in the 20 s between two readings
