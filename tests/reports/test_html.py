"""The page that people read."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

import reports
from harness.measures import Result, evaluate, history
from harness.testing import Story
from reports import html
from tests.harness.measures.runs import change, outage, round_trip
from tests.reports.conftest import troubled
from tests.reports.page import Page

SECTIONS = [
    "Verdict", "Clean-up", "What could not be observed", "Targets", "What holds without being named", "Timeline",
    "Failover: west to east", "Failback: east to west (planned)", "Every acknowledged write of the run",
    "Split brain over the whole run", "Tasks over the whole run", "Epochs", "Each Deployment",
    "What the Deployments are made of", "Claims", "Clocks", "Proof of the measures", "What it cost",
    "What is simulated", "What the figures mean", "How it was measured"]
OF_A_TRANSITION = [
    "Moments", "Recovery of each Deployment", "What it lost", "Split brain", "Tasks that it met", "Dependency audit",
    "Exposure before it", "The orchestrator's steps, by its own word"]
EVIL = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def page(failed: Result) -> Page:
    return Page(html.render(failed))


# -- its structure ---------------------------------------------------------------------------


def test_every_section_is_there_in_its_order(page: Page) -> None:
    assert [text for level, text in page.headings if level == 2] == SECTIONS


def test_a_transition_has_every_part(page: Page) -> None:
    assert [text for level, text in page.headings if level == 3] == OF_A_TRANSITION * 2


def test_headings_go_down_one_level_at_a_time(page: Page) -> None:
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_header_of_a_table_says_what_it_is_of(page: Page) -> None:
    assert {header.get("scope") for header in page.all("th")} == {"col", "row", "colgroup"}


def test_every_picture_has_its_text(page: Page) -> None:
    # The timeline, what runs, and for each transition its recovery and its ledger.
    assert len(page.all("svg")) == len(page.all("figure")) == len(page.all("figcaption")) == 6
    assert all(picture["aria-hidden"] == "true" for picture in page.all("svg"))


def test_no_two_elements_have_the_same_identifier_and_every_link_leads_somewhere(page: Page) -> None:
    known = [attributes["id"] for _, attributes in page.tags if attributes.get("id")]
    assert len(known) == len(set(known))
    leads = {attributes["href"] for attributes in page.all("a")}
    assert {f"#{name}" for name in known} >= leads
    assert len(leads) > 15


def test_what_scrolls_can_be_reached_with_the_keyboard(page: Page) -> None:
    boxes = [each for each in page.all("div") if "wide" in (each.get("class") or "")]
    assert boxes
    assert all(box["tabindex"] == "0" and box["role"] == "region" and box["aria-label"] for box in boxes)


def test_nothing_is_fetched_from_elsewhere_and_nothing_runs(failed: Result) -> None:
    text = html.render(failed)
    assert "<script" not in text
    assert not re.findall(r'(?:src|href)="(?!#)', text)


def test_text_is_dark_enough_to_be_read() -> None:
    css = (Path(reports.__file__).parent / "templates" / "style.css").read_text()
    colours = dict(re.findall(r"--(\w+):(#[0-9a-f]{6})", css))
    assert {name for name, colour in colours.items() if contrast(colour) < 4.5} == {"line"}


def contrast(colour: str) -> float:
    """Of a colour against white, as WCAG counts it."""
    parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)


# -- what it says ----------------------------------------------------------------------------


def test_it_begins_with_the_verdict_and_why(page: Page, failed: Result) -> None:
    said = page.section("verdict")
    assert said.startswith("Verdict FAIL exit code 1")
    assert all(reason in said for reason in failed.reasons)
    assert "12 task instances running at the fault (asked: 10)" in said


def test_without_a_fault_that_disrupts_it_says_that_nobody_counted() -> None:
    said = Page(html.render(outage().result())).section("verdict")
    assert "10 task instances asked to run at once (not counted: no fault came that disrupts)" in said


def test_who_never_came_back_is_named_and_the_bound_is_said(page: Page) -> None:
    assert "Not seen to come back: team-02." in page.section("transition-1")
    assert "never restored (at least 40 s)" in page.section("transition-1")
    assert "at least 40 s RTO of the fleet" in page.section("transition-1")
    rows = page.section("deployments").split("team-")
    never = next(row for row in rows if row.startswith("02"))
    assert "FAIL never restored in failover, failback" in never
    assert "never restored, at least 40 s" in never
    assert rows[-1].startswith("00")  # those that fail come first


def test_a_percentile_that_is_not_known_is_said_to_be_at_least_that(page: Page) -> None:
    assert "at least 40 s RTO, p95" in page.section("transition-1")
    assert "7 s (at least 5 s) RTO, p50" in page.section("transition-1")


def test_what_is_lost_has_its_count_its_bound_and_examples(page: Page, failed: Result) -> None:
    loss = failed.transitions[1].rpo["metadata"]
    assert loss.lost == 10
    said = page.section("transition-2")
    assert f"at least 110.8 s RPO of metadata: 10 lost of {loss.acknowledged}" in said
    assert "ledger 10" in said
    assert "team-01 row 90 of west/w" in said
    assert "10 lost, at least 110.8 s" in page.section("deployments")
    assert "lost a look does not show it, nor does the last one 10 0 0" in page.section("conservation")


def test_what_the_drill_allowed_is_said_to_be_allowed(page: Page) -> None:
    assert "at most 3 1, allowed by the drill PASS" in page.section("expectations")


def test_what_was_not_heard_has_no_upper_bound() -> None:
    story = outage()
    change(story, "fault.outcome", fault="partition", undo={"mend": "partition"})
    story.silence("west", 110, 139)
    result = story.result()
    assert result.split_brain.total.high is None
    page = Page(html.render(result))
    assert "A site was not heard, so nobody knows how much more there was." in page.section("split-brain")
    assert "not known split-brain writes: not all was heard" in page.section("transition-1")
    assert "west was not heard by the witness" in page.section("gaps")
    assert "west was not heard by the witness" in page.section("verdict")


def test_an_epoch_says_when_it_began_how_sure_that_is_and_who_told(page: Page) -> None:
    for section in ("transition-1", "epochs"):
        assert "2 east 1970-01-01T00:01:44.900Z 10 ms the database itself all 3" in page.section(section)
    inferred = Page(html.render(outage(told=False).result()))
    assert "what the site did: inferred" in inferred.section("transition-1")


def test_a_fingerprints_differences_are_there_item_by_item(page: Page) -> None:
    assert "team-00 variable colour missing settled-2" in page.section("fingerprint")


def test_a_claim_says_what_its_evidence_is(page: Page, failed: Result) -> None:
    said = page.section("claims")
    assert all(f"{c.text} {c.verdict} {c.evidence} {c.source}" in said for c in failed.claims)
    assert "the orchestrator's own word" in said


def test_the_proof_says_what_was_planted_and_found(page: Page, failed: Result) -> None:
    assert failed.proof is not None
    said = page.section("proof")
    assert all(f"{one.violation} {one.measure} yes" in said for one in failed.proof.planted)


def test_the_cost_is_in_it(page: Page) -> None:
    said = page.section("cost")
    assert "1.0 GiB memory of all processes" in said
    assert "50.0 % of all CPU was the harness's own" in said
    assert "0.80 cores busy while the load was held" in said


def test_every_measure_says_what_its_figure_means_and_what_not(page: Page) -> None:
    said = page.section("meanings")
    for name in ("timeline", "epochs", "rto", "rpo", "conservation", "split_brain", "tasks", "audit", "fingerprint",
                 "exposure", "throughput", "hearing", "clocks", "resources", "gaps", "verdict"):
        assert any(each.get("id") == f"meaning-{name}" for each in page.all("details")), name
    assert "the oldest write that the transition lost" in said
    assert said.count("It does not") > 10
    assert "**" not in said
    assert "`" not in said


# -- what it may be given ----------------------------------------------------------------------


def test_what_the_record_says_is_text_and_never_markup() -> None:
    story = troubled()
    story.events[0].data["drill"] |= {"title": EVIL, "name": EVIL}
    story.event(241, "check", name=EVIL, ok=False, detail=f"{EVIL} of a check")
    story.event(242, "failure", reason=f"the orchestrator said: {EVIL}")
    story.event(243, "gap", reason=f"{EVIL} was not seen")
    for event in story.events:
        for deployment in event.data.get("deployments") or []:
            deployment["name"] = deployment["name"].replace("team-00", f"team-{EVIL}")
        if event.kind == "probe":
            event.data["d"] = event.data["d"].replace("team-00", f"team-{EVIL}")
        if event.kind == "phase.started":
            event.data["phase"] = f"{event.data['phase']}{EVIL}"
        if event.kind == "transition.completed":
            event.data["steps"][0]["name"] = EVIL
    text = html.render(story.result())
    assert "<script" not in text
    page = Page(text)
    for section in ("verdict", "gaps", "expectations", "timeline", "transition-1", "deployments"):
        assert EVIL in page.section(section), section
    assert not page.all("script")


def test_a_dollar_sign_is_no_formula() -> None:
    story = troubled()
    for event in story.events:
        if event.kind == "phase.started":
            event.data["phase"] = r"$\frac{1}$"
    assert r"$\frac{1}$" in Page(html.render(story.result())).section("timeline")


def test_a_run_that_was_aborted_before_anything_was_up_has_a_page() -> None:
    story = Story()
    story.event(0, "run.started", run_id="r1", drill={"name": "d"})
    story.event(1, "run.aborted", reason="somebody pressed ctrl-c")
    page = Page(html.render(story.result()))
    assert "exit code 130, aborted" in page.section("verdict")
    assert "somebody pressed ctrl-c" in page.section("verdict")
    assert [text for level, text in page.headings if level == 2] == [s for s in SECTIONS if "to east" not in s
                                                                    and "to west" not in s]


def test_a_measure_that_failed_is_named_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    story = outage()

    def crash(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(history, "of", crash)
    page = Page(html.render(evaluate(story.evidence())))
    assert "the measure history failed: ZeroDivisionError" in page.section("verdict")
    assert "exit code 4, broken" in page.section("verdict")


def test_a_deployment_that_a_transition_does_not_move_is_said_to_be_left() -> None:
    story = troubled()
    for event in story.events:
        if event.kind in ("trigger.accepted", "transition.completed") and event.data["kind"] == "failback":
            event.data["deployments"] = ["team-00"]
    page = Page(html.render(story.result()))
    assert page.section("deployments").count("was not moved") == 2


def test_each_of_eighty_deployments_has_a_row_and_there_is_one_table() -> None:
    story = Story()
    story.start(*(f"team-{i:02d}" for i in range(80)))
    page = Page(html.render(story.result()))
    assert page.section("deployments").count("team-") == 80
    assert page.section("epochs").count("all 80") == 1


def test_the_same_result_makes_the_same_page(failed: Result) -> None:
    assert html.render(failed) == html.render(failed)


def test_a_run_without_trouble_names_no_trouble() -> None:
    page = Page(html.render(round_trip().result()))
    assert page.section("verdict").startswith("Verdict PASS exit code 0")
    assert "Nothing: everything that the drill promised to observe left its record." in page.section("gaps")
    assert {each["class"] for each in page.all("td") if "v" in (each.get("class") or "").split()} == {"v PASS"}
    assert "Not seen to come back" not in page.text
