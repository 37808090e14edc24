"""Claims: what a look that went wrong, went well or was never taken makes of them."""

from typing import Any

import pytest

from tests.conftest import Story
from tests.harness.measures.test_verdict import finish, good

LOOKS = {"XR-01": "one-cluster", "XR-11": "variants", "XR-15": "flag", "XR-16": "observed",
         "XR-17": "unhealthy", "XR-21": "manual-work"}


def claim(report: dict[str, Any]) -> str:
    return str(report["claims"][0]["verdict"])


@pytest.mark.parametrize(("name", "look"), LOOKS.items())
@pytest.mark.parametrize(("ok", "verdict"), [(True, "PASS"), (False, "FAIL"), (None, "INCONCLUSIVE")])
def test_a_claim_is_as_good_as_the_look_at_it(
    story: Story, name: str, look: str, ok: bool | None, verdict: str
) -> None:
    good(story, proves=[name])
    if ok is not None:
        story.event(120, "check", name=look, ok=ok, detail="seen")
    assert claim(finish(story)) == verdict


def test_airflow_that_is_found_in_the_inactive_region_breaks_the_claim_though_nothing_was_heard_of_it(
    story: Story,
) -> None:
    good(story, proves=["XR-08"])
    story.event(139, "check", name="one-region", ok=False, detail="4 Airflow pods in the standby region")
    report = finish(story)
    assert claim(report) == "FAIL"
    assert report["transitions"][0]["split_brain"]["double_runs"] == 0


def test_a_standby_that_was_changed_by_hand_must_have_been_put_right(story: Story) -> None:
    good(story, proves=["XR-07"])
    story.event(5, "check", name="standby-empty", ok=True, detail="0 Airflow pods")
    story.event(6, "fault.outcome", fault="manual-drift", disrupts=False, asked=6, in_force=6, seen={})
    assert claim(finish(story)) == "INCONCLUSIVE"  # nobody saw that it was


@pytest.mark.parametrize(("last", "verdict"), [(119.0, "PASS"), (140.0, "FAIL")])
def test_a_bounded_loss_counts_what_the_old_writer_acknowledged_after_the_fault(
    story: Story, last: float, verdict: str
) -> None:
    good(story, proves=["XR-03"])
    story.events[0].data["rpo_bound_s"] = 20.0
    story.witness = [w for w in story.witness if w["r"] == "west"]
    story.ack(101, 3)
    story.ack(last, 4)
    story.ack(141, 2, region="east")
    story.event(130, "check", name="commits-wait", ok=True, detail="held")
    report = finish(story)
    assert report["transitions"][0]["stranded"]["count"] == 2
    assert claim(report) == verdict
