"""Whom the orchestrator called while it moved the active region."""

from typing import Any

import pytest

from harness.measures.audit import Audit, audit
from harness.measures.timeline import transitions
from tests.conftest import Story, held

ROLES = {"west": "primary", "east": "secondary"}
ORCHESTRATOR = "127.5.130.1"


def audited(story: Story) -> Audit:
    """The audit of a failover from west to east: asked at 100.8, accepted at 101, done at 106."""
    story.start("a")
    story.failover(100, 101, 106, 140, held())
    evidence = story.evidence()
    found = audit(evidence, transitions(evidence)[0], ROLES)
    assert found is not None
    return found


def link(at: float, site: str = "primary") -> dict[str, Any]:
    return {"t": at, "event": "request", "caller": "orchestrator", "site": site, "service": "aws"}


@pytest.mark.parametrize(("at", "count"), [
    (100.5, 0),  # before it was asked
    (100.9, 1),  # it acts before its answer is heard
    (103.0, 1),
    (107.0, 0),  # the clean-up may
])
def test_calls_into_the_region_that_is_left_count_from_the_request_to_completion(
    story: Story, at: float, count: int
) -> None:
    story.links += [link(at), link(103, "secondary")]
    assert audited(story).left_region == count


def test_writes_to_iam_count_and_looks_at_it_do_not(story: Story) -> None:
    story.links.append(link(103, "secondary"))
    story.access["global"] = [
        {"t": at, "caller": ORCHESTRATOR, "service": "iam", "action": action, "status": "200"}
        for at, action in ((100.9, "CreateRole"), (102.0, "GetRole"), (99.0, "CreateRole"))]
    assert audited(story).iam_writes == 1
