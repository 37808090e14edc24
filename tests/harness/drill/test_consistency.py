"""Drill files every part of which is right, and that make no sense as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.drill.loader import InvalidDrill, parse

OUT = "  - fault: {region-outage: {region: %s}}\n"
FAILOVER, PLANNED, FAILBACK = "  - failover: {}\n", "  - failover: {planned: true}\n", "  - failback: {}\n"
HEAL = "  - heal: {region: %s}\n"


def drill(phases: str, proves: str = "[]", more: str = "") -> str:
    head = f"apiVersion: dr-drill/v1\nkind: Drill\nmetadata: {{name: x, proves: {proves}}}\n"
    return f"{head}{more}phases:\n  - load: {{}}\n{phases}"


def refusals(text: str) -> list[str]:
    with pytest.raises(InvalidDrill) as caught:
        parse(text, Path("x.yaml"))
    return [str(problem) for problem in caught.value.problems]


def warnings(text: str) -> list[str]:
    return [str(problem) for problem in parse(text, Path("x.yaml")).warnings]


@pytest.mark.parametrize(("phases", "expected"), [
    (OUT % "primary" + OUT % "secondary" + FAILOVER,
     "x.yaml:8:5: phase 4, failover: the secondary region is without power since phase 3, so nothing can be moved there"),
    (OUT % "primary" + PLANNED,
     "x.yaml:7:5: phase 3, failover: a planned failover is a switchover and needs the region that it leaves alive, and"
     " the primary region is without power since phase 2; leave 'planned: true' out, or heal it first"),
    (OUT % "primary" + FAILOVER + FAILBACK,
     "x.yaml:8:5: phase 4, failback: the primary region is without power since phase 2"),
    ("  - fault: {partition: {region: primary, from: other-region}}\n" + FAILOVER + FAILBACK,
     "x.yaml:8:5: phase 4, failback: the primary region was left in a failover and has not been healed since"),
    (FAILBACK, "phase 2, failback: there is no failover before it"),
    (FAILOVER + FAILOVER, "phase 3, failover: the cluster has failed over already; a failback comes first"),
    (HEAL % "primary", "phase 2, heal: there is no fault and no failover before it, so there is nothing to heal"),
    ("  - load: {}\n", "x.yaml:6:5: phase 2, load: load comes first, and once"),
    (OUT % "primary" + OUT % "primary", "phase 3, fault: the primary region is without power since phase 2, so nothing is"
     " left there for a fault region-outage; heal it first"),
    (OUT % "primary" + "  - hold: {for: 5s, expect: up}\n",
     "no Deployment can be up: the primary region, where Airflow is to run, is without power since phase 2"),
    ("  - hold: {for: 5s, expect: drift-repaired}\n", "nothing drifts: there is no fault manual-drift before it"),
    ("  - hold: {for: 5s, expect: unhealthy}\n", "nothing is broken before it"),
    ("  - fault: {link: {from: outside, to: users, cut: true}}\n",
     "x.yaml:6:13: phase 2, fault.link: no link joins outside and users; from outside there are links to"),
    ("  - fault: {link: {from: primary, to: secondary}}\n", "say how the link degrades: cut: true"),
    ("  - fault: {link: {from: primary, to: secondary, delay: 0s}}\n", "must be more than 0s, not 0s"),
    ("  - fault: {api-outage: {site: primary, services: [rds], for: 0s}}\n", "phase 2, fault.api-outage.for"),
    ("  - settle: {timeout: 1:30}\n", "phase 2, settle.timeout: '1:30' is not a duration"),
    ("  - settle: {timeout: 0s}\n", "phase 2, settle.timeout: must be at least 1s, not 0s"),
    ("  - 5\n", "phase 2: a phase is a map with one key, for example 'load: {}', not 5"),
], ids=lambda value: value[-40:] if value.startswith(" ") else "")
def test_phases_that_cannot_be_are_refused_where_they_stand(phases: str, expected: str) -> None:
    found = refusals(drill(phases))
    assert any(expected in problem for problem in found), found


@pytest.mark.parametrize("phases", [
    OUT % "primary" + FAILOVER + HEAL % "primary" + FAILBACK,
    OUT % "secondary" + "  - failover: {expect: refused}\n",
    PLANNED + HEAL % "primary" + FAILBACK + HEAL % "secondary" + PLANNED,
    OUT % "primary" + HEAL % "primary" + PLANNED,
])
def test_phases_that_can_be_are_not(phases: str) -> None:
    assert parse(drill(phases), Path("x.yaml")).drill.phases


@pytest.mark.parametrize(("phases", "proves", "expected"), [
    ("", "[XR-13]", "x.yaml:3:30: metadata.proves, item 1: nothing in this drill could show XR-13; that takes a failback."
     " Add it, or leave XR-13 out"),
    (FAILOVER, "[XR-01, XR-17]", "item 2: nothing in this drill could show XR-17; that takes 'hold: {expect: unhealthy}'"),
    (FAILOVER, "[XR-19]", "that takes a failover of 80 Deployments with 1250 concurrent_tasks"),
    (FAILOVER, "[XR-18]", "no drill can show XR-18 yet (nothing looks for it); leave it out"),
    (FAILOVER, "[XR-01, XR-01]", "metadata.proves: named twice: XR-01; once is enough"),
    ("  - failover: {expect: refused}\n", "[XR-09]", "nothing in this drill could show XR-09"),
])
def test_a_claim_that_nothing_in_the_drill_could_show_is_refused(phases: str, proves: str, expected: str) -> None:
    found = refusals(drill(phases, proves))
    assert any(expected in problem for problem in found), found


@pytest.mark.parametrize(("more", "expected"), [
    ("fleet: {deployments: 20, concurrent_tasks: 3}\n",
     "x.yaml:4:26: fleet.concurrent_tasks: 3 tasks for 20 Deployments: most would run none"),
    ("fleet: {deployments: true}\n", "x.yaml:4:9: fleet.deployments: must be a whole number, not true"),
    ("fleet: {deployments: '8'}\n", "written without quotes"),
    ("fleet: 5\n", "x.yaml:4:1: fleet: must be a map of keys and values, not 5"),
    ("environment: {primary: ''}\n", "environment.primary: must be the name of a region, such as us-west-2, not ''"),
    ("environment: {primary: ../../etc}\n", "must be the name of a region, such as us-west-2, not '../../etc'"),
    ("environment: {primary: us west 2}\n", "must be the name of a region"),
    ("environment: {primary: %s}\n" % ("a" * 300), "(300 characters)"),
    ("environment: {primary: us-west-2, secondary: us-west-2}\n", "must be two different regions"),
    ("environment: {primary: \"us-west-2\\n\"}\n", "must be the name of a region"),
    ("abort-when: {witness-unreachable: 0s}\n", "abort-when.witness-unreachable: must be at least 1s, not 0s"),
    ("fleet: {environment: {PATH: /tmp}}\n", "x.yaml:4:23: fleet.environment.PATH: may not be set by a drill"),
    ("fleet: {environment: {LD_PRELOAD: x.so}}\n", "fleet.environment.LD_PRELOAD: may not be set by a drill"),
    ("fleet: {environment: {AIRFLOW__CORE__EXECUTOR: x}}\n", "may not be set by a drill: the platform sets it"),
    ("fleet: {environment: {A: 5}}\n", "must be text; put it in quotes (it is not repeated here"),
    ("fleet: {public-environment: [\"B*\"]}\n", "there is no such variable in environment: 'B*'"),
])
def test_values_that_make_no_sense_are_refused_in_the_users_words(more: str, expected: str) -> None:
    found = refusals(drill(FAILOVER, more=more))
    assert any(expected in problem for problem in found), found


def test_what_a_message_repeats_of_a_file_stays_on_its_line() -> None:
    found, = refusals(drill(FAILOVER, more='fleet: {public-environment: ["a\\nb", c, d]}\n'))
    assert found == (r"x.yaml:4:1: fleet: public-environment: there is no such variable in environment: 'a\nb', and 2 more")


def test_a_key_that_is_very_long_is_shown_by_its_beginning() -> None:
    found, = refusals(drill(FAILOVER, more=f"fleet: {{environment: {{{'k' * 1000}: 5}}}}\n"))
    assert f"fleet.environment.'{'k' * 60}'... (1000 characters): must be text" in found


def test_of_very_many_problems_the_first_are_said_and_how_many_more_there_are() -> None:
    found = refusals(drill(FAILBACK * 150))
    assert len(found) == 51
    assert found[0].startswith("x.yaml:6:5: phase 2, failback: there is no failover before it")
    assert found[-1] == "x.yaml:55:5: and 100 more from here on"


def test_a_list_without_phases_is_said_in_the_users_words() -> None:
    text = "apiVersion: dr-drill/v1\nkind: Drill\nmetadata: {name: x}\nphases: []\n"
    assert refusals(text) == ["x.yaml:4:1: phases: must be a list with at least one phase"]


@pytest.mark.parametrize(("name", "said"), [
    ("\"x\\n\"", "must be lower case"), ("-x", "must be lower case"), ("x" * 41, "at most 40 characters"), ("''", "must be"),
    ("../x", "must be lower case"), ("5", "must be text; put it in quotes")])
def test_a_name_is_a_name(name: str, said: str) -> None:
    text = drill("").replace("name: x", f"name: {name}")
    assert any(said in problem for problem in refusals(text))


@pytest.mark.parametrize("title", ['"\\ud800"', '"a\\nb"', '"\\u202e"', '"\\0"', '"\\x1b[2J"'])
def test_a_title_is_a_line_that_can_be_seen(title: str) -> None:
    assert refusals(drill("").replace("name: x", f"name: x, title: {title}"))


@pytest.mark.parametrize(("phases", "expected"), [
    (OUT % "primary", "x.yaml:6:5: phase 2, fault: the primary region, where Airflow is to run, is without power to the end"),
    (PLANNED + FAILBACK, "no 'heal: {region: primary}' comes before it"),
    ("  - fault: {partition: {region: secondary}}\n" + FAILOVER,
     "phase 3, failover: the orchestrator cannot reach the secondary region since phase 2"),
    ("  - fault: {orchestrator-crash: {at: [inflate:in]}}\n", "no failover or failback comes after it"),
])
def test_a_drill_that_is_probably_not_what_was_meant_is_warned_of(phases: str, expected: str) -> None:
    assert any(expected in warning for warning in warnings(drill(phases))), warnings(drill(phases))


def test_a_bound_of_nothing_cannot_be_met_and_says_so() -> None:
    found = warnings(drill(FAILOVER, more="targets: {rto: 0s, rpo: {metadata: 0s}}\n"))
    assert [warning.split(": ")[1] for warning in found] == ["targets.rto", "targets.rpo.metadata"]
    assert "'writes-lost: 0' can be" in found[1]
