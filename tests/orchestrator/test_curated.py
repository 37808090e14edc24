"""The curated set of a region: declared once, run by its agent, shown by the API."""

from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from orchestrator.agent import serve_readiness, turns
from orchestrator.curated import CURATED
from orchestrator.iam_controller import IamController
from orchestrator.region_view import RegionView

CLAIMED = {"cluster-autoscaler", "manifest-reconciler", "managed-egress", "observability", "certificates",
           "iam-controller", "bin-packing-scheduler"}
"""XR-07's list."""


class Iam:
    """IAM's control plane, with these roles; or gone."""

    def __init__(self, *roles: str) -> None:
        self.roles, self.gone, self.asked = list(roles), False, 0

    def get_paginator(self, _: str) -> "Iam":
        return self

    def paginate(self) -> list[dict[str, Any]]:
        self.asked += 1
        if self.gone:
            raise ClientError({"Error": {"Code": "ServiceUnavailable"}}, "ListRoles")
        return [{"Roles": [{"RoleName": role}]} for role in self.roles]


def account(role: str) -> dict[str, Any]:
    return {"kind": "ServiceAccount", "metadata": {"name": "airflow", "namespace": role, "annotations": {
        "eks.amazonaws.com/role-arn": f"arn:aws:iam::123456789012:role/{role}"}}}


def test_each_member_of_the_claimed_set_is_declared_once_and_says_what_it_does_in_either_state() -> None:
    assert sorted(p.name for p in CURATED) == sorted(CLAIMED)
    for plugin in CURATED:
        assert plugin.active and plugin.standby and plugin.active != plugin.standby
        assert bool(plugin.absent) == (plugin.duty is None)


def test_what_has_nothing_to_do_here_is_never_shown_as_running() -> None:
    states = {p.name: p.shown(active=False, failing=None)["state"] for p in CURATED}
    assert {name for name, state in states.items() if state == "running"} == {
        "manifest-reconciler", "observability", "iam-controller"}
    assert all(state.startswith("absent: ") for name, state in states.items() if state != "running")


def test_a_plugin_that_fails_keeps_no_other_from_its_turn_and_is_named() -> None:
    class Counts:
        done = 0

        def turn(self) -> None:
            self.done += 1

    class Fails(Counts):
        def turn(self) -> None:
            super().turn()
            if self.done == 1:
                raise RuntimeError("no")

    view, counts = RegionView(), Counts()
    turns({"bad": Fails(), "good": counts}, view)
    assert (counts.done, set(view.failing)) == (1, {"bad"})


def test_a_plugin_that_works_again_is_no_longer_named() -> None:
    class Works:
        def turn(self) -> None:
            return

    view = RegionView(failing={"once": "no"})
    turns({"once": Works()}, view)
    assert view.failing == {}


@pytest.fixture
def view() -> RegionView:
    return RegionView(wanted=[account("a-east"), account("b-east"), {"metadata": {"name": "x"}}])


def test_a_role_that_is_not_there_is_missed_before_a_failover_needs_it(view: RegionView) -> None:
    IamController(Iam("a-east", "a-west"), view).turn()
    assert view.missing_roles == ["b-east"]


def test_an_iam_that_says_nothing_changes_nothing(view: RegionView) -> None:
    iam, view.missing_roles = Iam(), ["b-east"]
    iam.gone = True
    IamController(iam, view).turn()
    assert view.missing_roles == ["b-east"]


def test_it_looks_again_when_there_are_more_deployments_and_not_before(view: RegionView) -> None:
    iam = Iam("a-east", "b-east")
    controller = IamController(iam, view)
    controller.turn()
    controller.turn()
    assert iam.asked == 1
    view.wanted.append(account("c-east"))
    controller.turn()
    assert (iam.asked, view.missing_roles) == (2, ["c-east"])


def test_an_agent_is_ready_once_it_has_been_told_what_its_region_is_to_be() -> None:
    view = RegionView()
    server = serve_readiness(view, "127.0.0.1", 0)
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        assert httpx.get(url).status_code == 503
        view.told = True
        assert httpx.get(url).status_code == 200
    finally:
        server.shutdown()
        server.server_close()
