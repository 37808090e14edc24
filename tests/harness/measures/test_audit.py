"""Whom anybody called while a transition was under way."""

from __future__ import annotations

from typing import Any

import pytest

from harness.measures.audit import audit
from harness.measures.result import Audit
from harness.testing import Story, held
from tests.harness.measures.runs import past


def moved(story: Story) -> Story:
    """A failover from west to east: sent at 100.8, accepted at 101, seen to be done at 106; west's servers kept a log."""
    story.start("a")
    story.failover(100, 101, 106, 140, held())
    link(story, 103, "secondary")
    call(story, "primary", 50, who="workload", caller="127.5.20.1")
    return story


def link(story: Story, at: float, site: str = "primary", **more: Any) -> None:
    story.links.append({"t": at, "event": "request", "caller": "orchestrator", "site": site, "service": "aws"} | more)


def call(story: Story, role: str, at: float = 103.0, **more: Any) -> None:
    story.access.setdefault(role, []).append(
        {"t": at, "caller": "127.5.130.1", "who": "orchestrator", "service": "rds", "action": "DescribeDBClusters",
         "status": "200"} | more)


def audited(story: Story) -> Audit:
    history = past(story)
    found = audit(history, history.moves[0])
    assert found is not None
    return found


@pytest.mark.parametrize(("at", "count"), [
    (100.79, 0),  # before it was asked
    (100.8, 1),  # it acts before its answer is heard
    (103.0, 1), (106.0, 1),
    (106.1, 0),  # the clean-up may
])
@pytest.mark.parametrize("record", ["links", "access"])
def test_calls_into_the_site_that_is_left_count_from_the_request_to_the_end(
    story: Story, at: float, count: int, record: str
) -> None:
    moved(story)
    if record == "links":
        link(story, at)
    else:
        call(story, "primary", at)
    assert audited(story).left_site == count


def test_the_end_is_when_the_harness_saw_it_not_when_the_orchestrator_says(story: Story) -> None:
    moved(story)
    next(e for e in story.events if e.kind == "transition.completed").data["at"] = 102.0
    link(story, 105)
    assert audited(story).left_site == 1


@pytest.mark.parametrize(("event", "count"), [("connect", 1), ("refused", 1), ("request", 1), ("closed", 0)])
def test_a_call_that_was_refused_counts_as_much_as_one_that_was_answered(story: Story, event: str, count: int) -> None:
    moved(story)
    link(story, 103, event=event)
    assert audited(story).left_site == count


@pytest.mark.parametrize(("more", "count"), [
    ({"caller": "primary"}, 0),  # another's link
    ({"site": "secondary"}, 0), ({"site": "global"}, 0),
])
def test_only_the_orchestrators_links_to_that_site_count(story: Story, more: dict[str, Any], count: int) -> None:
    moved(story)
    link(story, 103, **more)
    assert audited(story).left_site == count


@pytest.mark.parametrize(("more", "count"), [
    ({}, 1),
    ({"caller": "10.0.0.1"}, 1),  # its credential, by whatever address
    ({"who": "workload", "caller": "127.5.112.1"}, 1),  # through the other site
    ({"who": "workload", "caller": "127.5.149.1"}, 1),
    ({"who": "workload", "caller": "127.5.110.1"}, 1),
    ({"who": None, "caller": "10.0.0.1"}, 1),  # by address, nobody who is known
    ({"who": "workload", "caller": "127.5.20.1"}, 0),  # the site's own
    ({"who": "workload", "caller": "127.5.150.1"}, 0),
    ({"who": "observer", "caller": "127.5.112.1"}, 0),
    ({"service": "control"}, 0),  # what databases and buckets say to their peers
    ({"service": "control", "who": None}, 0),
])
def test_a_call_counts_by_who_makes_it_and_by_which_way_it_comes(story: Story, more: dict[str, Any], count: int) -> None:
    moved(story)
    call(story, "primary", **more)
    assert audited(story).left_site == count


def test_calls_to_the_other_site_are_no_calls_into_the_one_that_is_left(story: Story) -> None:
    moved(story)
    call(story, "secondary")
    call(story, "global")
    call(story, "secondary", who=None, caller="127.5.131.9")
    found = audited(story)
    assert (found.left_site, found.by_site, found.calls) == (0, {"secondary": 2, "global": 1}, 3)


@pytest.mark.parametrize(("more", "iam", "other"), [
    ({"service": "iam", "action": "CreateRole"}, 1, 0),
    ({"service": "iam", "action": "CreateRole", "who": "workload"}, 1, 0),  # whoever it is
    ({"service": "iam", "action": "CreateRole", "who": None}, 1, 0),
    ({"service": "iam", "action": "CreateRole", "who": "observer"}, 0, 0),
    ({"service": "iam", "action": "GetRole"}, 0, 0), ({"service": "iam", "action": "ListRoles"}, 0, 0),
    ({"service": "route53", "action": "POST /2013-04-01/hostedzone/Z/rrset"}, 0, 1),
    ({"service": "route53", "action": "GET /2013-04-01/hostedzone/Z/rrset"}, 0, 0),
    ({"service": "iam", "action": "DescribeX"}, 0, 0), ({"service": "iam", "action": "HEAD /"}, 0, 0),
    ({"service": "control", "action": "PUT /"}, 0, 0),
    ({"service": "iam", "action": "CreateRole", "t": 100.0}, 0, 0),
    ({"service": "iam", "action": "CreateRole", "t": 107.0}, 0, 0),
])
def test_writes_to_a_global_control_plane_count_and_looks_at_it_do_not(
    story: Story, more: dict[str, Any], iam: int, other: int
) -> None:
    moved(story)
    call(story, "global", **more)
    found = audited(story)
    assert (found.iam_writes, found.other_global_writes) == (iam, other)


def test_a_write_at_a_sites_own_iam_is_none_at_the_global_one(story: Story) -> None:
    moved(story)
    call(story, "secondary", service="iam", action="CreateRole")
    call(story, "global", action="GetRole", service="iam")
    assert audited(story).iam_writes == 0


def test_without_a_log_of_the_global_services_nobody_knows_of_writes_there(story: Story) -> None:
    moved(story)
    call(story, "secondary")
    found = audited(story)
    assert (found.iam_writes, found.other_global_writes, found.left_site) == (None, None, 0)


def test_without_a_log_of_the_site_that_is_left_nobody_knows_who_called_it_by_its_address(story: Story) -> None:
    moved(story)
    story.access.clear()
    assert audited(story).left_site is None
    link(story, 103)
    assert audited(story).left_site == 1


@pytest.mark.parametrize("at", [100.79, 106.1])
def test_calls_before_the_request_and_after_the_end_are_not_counted(story: Story, at: float) -> None:
    moved(story)
    call(story, "secondary", 103)
    call(story, "secondary", at)
    assert audited(story).calls == 1


def test_no_more_than_five_examples_are_shown(story: Story) -> None:
    moved(story)
    for number in range(9):
        link(story, 102 + number / 10)
    assert (audited(story).left_site, len(audited(story).examples)) == (9, 5)


def test_examples_name_who_called_whom_in_the_order_of_time(story: Story) -> None:
    moved(story)
    link(story, 104)
    call(story, "primary", 102)
    call(story, "global", service="iam", action="CreateRole")
    assert audited(story).examples == [
        "orchestrator at 127.5.130.1 asked primary for rds DescribeDBClusters at 102.000",
        "orchestrator request aws of primary at 104.000", "orchestrator iam CreateRole at 103.000"]


@pytest.mark.parametrize("trouble", ["no links", "no calls", "no end"])
def test_without_a_record_there_is_no_audit(story: Story, trouble: str) -> None:
    moved(story)
    if trouble == "no links":
        story.links.clear()
        call(story, "secondary")
    if trouble == "no calls":
        story.links[:] = [told | {"caller": "primary"} for told in story.links]
    if trouble == "no end":
        story.events = [event for event in story.events if event.kind != "transition.completed"]
    history = past(story)
    assert audit(history, history.moves[0]) is None


def test_calls_in_the_servers_logs_alone_are_a_record(story: Story) -> None:
    moved(story)
    story.links[:] = [told | {"caller": "primary"} for told in story.links]
    call(story, "secondary")
    assert audited(story).calls == 1


def test_a_failback_leaves_the_other_site(story: Story) -> None:
    story.start("a")
    story.failover(100, 101, 106, 140, held(), planned=True)
    link(story, 103, "secondary")
    call(story, "secondary")
    call(story, "primary")
    assert audited(story).left_site == 2
