"""``report.html``: one self-contained page that a manager can read and an auditor can check."""

from __future__ import annotations

from typing import TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from pydantic import BaseModel

from harness.common.quoting import visible
from harness.measures.clocks import WAY_S
from harness.measures.result import Result
from reports import charts, views, words
from reports.meanings import meanings

CLEANUP = {"done": "nothing was left behind", "kept": "the environment was left running, as it was asked for",
           "failed": "something was left behind", "not done": "nobody wrote down what became of the environment"}
BY_DEPLOYMENT = ("metadata", "task-logs")
"""The streams whose writes belong to a Deployment."""
FATES = {
    "acknowledged": "a client got success and told the witness",
    "held": "every look shows it, with its content",
    "lost": "a look does not show it, nor does the last one",
    "recovered_later": "a look did not show it, the last one does",
    "corrupted": "there, with another content",
    "misplaced": "in another Deployment's database",
    "duplicated": "a ledger row that is there twice",
    "phantom": "a ledger row that nobody ever attempted",
    "unjudged": "acknowledged after the last look",
    "unknown": "attempted, and never answered",
    "unknown_held": "of those, there all the same",
}
"""What became of a write, and what that says (:mod:`harness.measures.conservation`)."""
FILTERS = (words.span, words.after, words.figure, words.brief, words.rpo, words.count, words.loss, words.number,
           words.rate, words.share, words.mebibytes, words.moment, words.offset, words.names, words.state)
BEFORE = (("cleanup", "Clean-up"), ("gaps", "Gaps"), ("targets", "Targets"), ("expectations", "Expectations"),
          ("timeline", "Timeline"))
AFTER = (("conservation", "Writes"), ("split-brain", "Split brain"), ("tasks", "Tasks"), ("epochs", "Epochs"),
         ("deployments", "Deployments"), ("fingerprint", "Fingerprint"), ("claims", "Claims"), ("clocks", "Clocks"),
         ("proof", "Proof"), ("cost", "Cost"), ("simulated", "Simulated"), ("meanings", "Meanings"),
         ("method", "Method"))
"""Sections of the page, before and after those of the transitions."""


def render(result: Result) -> str:
    """The page of a result. Whatever the record says is text on it, never markup, and none of it is unseen."""
    result = readable(result)
    environment = Environment(loader=PackageLoader("reports"), autoescape=True, trim_blocks=True, lstrip_blocks=True,
                              undefined=StrictUndefined)
    environment.filters.update({say.__name__: say for say in FILTERS})
    return environment.get_template("report.html.j2").render(
        result=result, run=result.run, views=views, pictures=_pictures(result), meanings=meanings(), fates=FATES,
        by_deployment=BY_DEPLOYMENT, clock_way_s=WAY_S, cleanup=CLEANUP.get(result.cleanup, "not known"),
        contents=[*BEFORE, *((f"transition-{place}", f"{transition.kind.capitalize()} to {transition.target}")
                             for place, transition in enumerate(result.transitions, 1)), *AFTER])


T = TypeVar("T")


def readable(found: T) -> T:
    """The same with every text in it made visible: names that are keys too, and those that pictures show."""
    shown: object = found
    if isinstance(found, str):
        shown = visible(found)
    elif isinstance(found, BaseModel):
        shown = found.model_copy(update={name: readable(value) for name, value in found})
    elif isinstance(found, dict):
        shown = {readable(key): readable(value) for key, value in found.items()}
    elif isinstance(found, list):
        shown = [readable(each) for each in found]
    return shown  # type: ignore[return-value]


def _pictures(result: Result) -> dict[str, object]:
    return {
        "timeline": Markup(charts.timeline(result)),
        "running": Markup(charts.running_tasks(result.run)),
        "transitions": [{
            "restoration": Markup(charts.restoration(
                views.recoveries(result, index), transition, f"restoration-{index}")),
            "ledger": Markup(charts.ledger(transition, f"ledger-{index}")),
        } for index, transition in enumerate(result.transitions)],
    }
