"""The test kit: a run's evidence built by hand, and what the measures make of it.

A :class:`Story` tells what happened in a run; what it does not tell is as in a run in which nothing went wrong (sites
are heard, the record ends, what a look holds has the content that was acknowledged). So a test says only what it is
about::

    story = Story()
    story.start("a", targets={"writes-lost": 0})
    story.ack(99, 1)
    story.ack(105, 2, region="east")
    story.failover(100, 101, 106, 140, held({("a", "east/w", 2)}))
    assert story.result().verdict == "FAIL"

Sites are ``west`` (primary, active at the begin) and ``east``, unless the start says otherwise; times are seconds on a
clock of the story's own. :meth:`Story.save` writes the run directory that such a run would have left.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from harness.measures import Result, evaluate
from harness.measures.timeline import Outage, outages
from harness.record.events import Recorded, RunStarted, parse
from harness.record.evidence import DIRECTORY, Evidence, store
from harness.record.journal import Event, Journal
from harness.record.tables import BULK, Tables

Facts = list[dict[str, Any]]
BEAT_S = 2.0
SITES = {"west": "primary", "east": "secondary"}
STEPS = ("provision-database-compute", "promote-database", "inflate", "move-dns")
ENDS: dict[str, dict[str, Any]] = {"cleanup": {"outcome": "done"}, "run.ended": {}}
"""The last records of a run, in their order."""
AFTER_S = 1.0
"""So long after the last event of a story its record ends, unless it says otherwise."""


class Story:
    """Builds the evidence of a run, event by event."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.witness: list[dict[str, Any]] = []
        self.links: list[dict[str, Any]] = []
        self.access: dict[str, list[dict[str, Any]]] = {}
        """By role: ``primary``, ``secondary``, ``global``."""
        self.usage: list[dict[str, Any]] = []
        self.snapshots: dict[str, Facts] = {}
        self.unstored: set[str] = set()
        """Evidence files that a saved run does not have."""
        self.torn: dict[str, str] = {}
        """By the name of an evidence file what its last line was when it was cut off."""
        self._silences: list[tuple[str, float, float]] = []
        self._sites: list[str] = []
        self._ended = False
        self._step: tuple[float, float] | None = None
        self._kind, self._accepted = "", 0.0

    # -- events ---------------------------------------------------------------------------

    def event(self, at: float, kind: str, /, **data: Any) -> Event:
        """An event at a moment (of both clocks, unless the wall clock was set: :meth:`set_clock`)."""
        made = Event(len(self.events) + 1, at, self._wall(at), kind, data)
        self.events.append(made)
        self._ended = self._ended or kind == "run.ended"
        return made

    def set_clock(self, at: float, seconds: float) -> None:
        """Set the wall clock forward (or back) by so much: what is told from ``at`` on has other wall-clock times."""
        self._step = (at, seconds)

    def _wall(self, at: float) -> float:
        """What the wall clock shows at a moment."""
        return at + self._step[1] if self._step is not None and at >= self._step[0] else at

    def start(self, *deployments: str, targets: dict[str, Any] | None = None, proves: list[str] | None = None,
              sites: Mapping[str, str] = SITES, **more: Any) -> None:
        """The beginning of a run with a fleet.

        ``targets`` as in a drill file, durations in seconds; ``sites``: names to roles, the first one is active;
        ``more``: other fields of the run's first event.
        """
        self._sites = list(sites)
        self.event(0, "run.started", run_id="r1", probe_interval_s=2.0, canary_interval_s=10.0,
                   beat_interval_s=BEAT_S, targets=targets or {}, proves=proves or [], concurrent_tasks=10, seed=1,
                   versions={"moto": "5"}, machine={"system": "x", "python": "3", "cpus": 2},
                   drill={"name": "d", "title": "D", "sha256": "0", "file": "d.yaml"}, **more)
        self.event(1, "environment.up", simulated=["everything"])
        self.event(2, "fleet.up", settings={"A": "1"}, roles=dict(sites), active=self._sites[0],
                   deployments=[{"name": name} for name in deployments])

    def failover(self, fault: float, accepted: float, completed: float, settled: float,
                 snapshot: Facts, planned: bool = False) -> None:
        """A whole transition from west to east (or back, when planned), up to the look after it."""
        if not planned:
            self.fault(fault)
        self.request(accepted, *(("east", "west") if planned else ("west", "east")))
        self.complete(completed)
        self.settle(settled, snapshot, since=completed)

    def fault(self, at: float, asked: float | None = None, fault: str = "region-outage", role: str = "primary",
              disrupts: bool = True) -> None:
        """Something is seen to be broken at a moment; ``asked``: when that was begun."""
        undo = {"restore-region": role} if fault == "region-outage" else {"mend": fault}
        self.event(at, "fault.outcome", fault=fault, disrupts=disrupts, in_force=self._wall(at), asked=asked,
                   parameters={"region": role}, undo=undo)

    def request(self, accepted: float, source: str, target: str, kind: str | None = None,
                deployments: list[str] | None = None, sent: float | None = None) -> None:
        """The orchestrator is asked for a transition; to ``west`` it is a failback, unless ``kind`` says otherwise."""
        kind = kind or ("failback" if target == "west" else "failover")
        self.event(accepted - 0.2 if sent is None else sent, "trigger.intent", kind=kind)
        self.event(accepted, "trigger.accepted", kind=kind, at=self._wall(accepted), source=source, target=target,
                   deployments=deployments)
        self._kind, self._accepted = kind, accepted

    def complete(self, at: float, claimed: float | None = None, steps: Iterable[str] = STEPS,
                 deployments: list[str] | None = None) -> None:
        """The last transition is seen to have ended; ``claimed``: when, by the orchestrator's own word."""
        self.event(at, "transition.completed", kind=self._kind, at=self._wall(at if claimed is None else claimed),
                   steps=[{"name": n, "seconds": 0.1, "at": self._accepted} for n in steps], deployments=deployments)

    def settle(self, at: float, snapshot: Facts, since: float | None = None) -> None:
        """The end of a settle phase, with what the look then holds."""
        name = f"settled-{len(self.snapshots) + 1}"
        self.snapshots[name] = snapshot
        self.event(at, "settled", snapshot=name, since=self._wall(at if since is None else since))

    def look(self, at: float, snapshot: Facts, site: str = "west") -> None:
        """A look before a transition, to compare with."""
        name = f"before-{len(self.snapshots) + 1}"
        self.snapshots[name] = snapshot
        self.event(at, "looked", snapshot=name, site=site, began=self._wall(at), ended=self._wall(at))

    def heal(self, at: float, role: str = "primary") -> None:
        """A region gets its power back."""
        self.event(at, "undo.outcome", undo={"restore-region": role})

    def epoch(self, at: float, site: str, number: int, deployment: str | None = None, error: float = 0.01) -> None:
        """The database's own word that a reign began; ``deployment`` None: of all."""
        self.event(at, "epoch", deployment=deployment, number=number, site=site, began=self._wall(at),
                   error=error, source="story")

    def end(self, at: float, cleanup: str = "done") -> None:
        """The last records of a run."""
        self.event(at, "cleanup", outcome=cleanup)
        self.event(at, "run.ended")

    # -- what clients tell the witness --------------------------------------------------------

    def ack(self, at: float, number: int, region: str = "west", deployment: str = "a",
            tried: bool = True, content: int | None = None) -> None:
        """An acknowledged ledger row."""
        row = {"s": "ledger", "d": deployment, "r": region, "wr": f"{region}/w", "n": number,
               "t": self._wall(at), "c": content}
        if tried:
            self.witness.append({"e": "try", **row})
        self.witness.append({"e": "ack", **row})

    def log(self, at: float, key: str, region: str = "west", deployment: str = "a",
            content: int | None = None) -> None:
        """An acknowledged task log."""
        self.witness.append({"e": "ack", "s": "task-logs", "d": deployment, "r": region, "key": key,
                             "t": self._wall(at), "c": content})

    def image(self, at: float, key: str, region: str = "west", content: int | None = None) -> None:
        """An acknowledged image."""
        self.witness.append({"e": "ack", "s": "images", "r": region, "key": key, "t": self._wall(at), "c": content})

    def life(self, event: str, at: float, task: str, number: int = 1, region: str = "west",
             deployment: str = "a", dag: str = "wide", began: int | None = None) -> None:
        """A sign of life of a task instance: ``start`` or ``effect``; ``began``: its start date (microseconds)."""
        self.witness.append({"e": event, "d": deployment, "r": region, "dag": dag, "run": "run1",
                             "task": task, "map": -1, "n": number, "t": self._wall(at), "c": began})

    def airflow(self, at: float, kind: str, task: str = "", number: int = 1, region: str = "west",
                deployment: str = "a", dag: str = "wide", content: int | None = None, key: str | None = None) -> None:
        """What Airflow acknowledged: a ``state`` (success), an ``xcom`` or a ``dagrun``.

        ``content``: of a state the start date of its try, of an XCom its value's; ``key``: the XCom's.
        """
        record = {"e": "ack", "s": "airflow", "k": kind, "d": deployment, "r": region, "dag": dag, "run": "run1",
                  "t": self._wall(at), "c": content}
        self.witness.append(record | ({} if kind == "dagrun" else {"task": task, "map": -1, "n": number,
                                                                   "key": key}))

    def silence(self, site: str, since: float, until: float) -> None:
        """The witness hears nothing from a site, though it has power."""
        self._silences.append((site, since, until))

    # -- what the observer sees ------------------------------------------------------------------

    def probe(self, at: float, deployment: str, ok: bool = True, scheduled: float | None = None,
              run: str = "", late: float = 0.0, ms: float = 10.0, address: str | None = None) -> None:
        """A probe's outcome; ``scheduled``: of the canary that it saw; ``late`` and ``ms`` in milliseconds."""
        canary = None if scheduled is None else {
            "run": run or f"c{scheduled}", "scheduled": self._wall(scheduled), "ended": self._wall(scheduled + 1)}
        self.event(at, "probe", d=deployment, sent=self._wall(at), ms=ms, late_ms=late,
                   outcome="ok" if ok else "failed", canary=canary, address=address)

    def probes(self, since: float, until: float, *deployments: str, every: float = 2.0) -> None:
        """Probes that all see a fresh canary."""
        at = since
        while at < until:
            for name in deployments:
                self.probe(at, name, scheduled=at - 1)
            at += every

    # -- the outcome ---------------------------------------------------------------------------------

    def evidence(self) -> Evidence:
        """What the measures see."""
        events = [_parsed(e) for e in self._whole() if e.kind not in BULK]
        stored = {"witness": len(self.witness), "links": len(self.links), "usage": len(self.usage),
                  "access": sum(map(len, self.access.values()))}
        return Evidence(events, self._tables(self.snapshots), tuple(self.snapshots), bool(self.links), stored)

    def save(self, run: Path) -> Path:
        """Write the run directory that the harness would have left; its path."""
        events = self._whole()
        clock = _Clock(events[0])
        book = Journal(run, clock)
        for event in events:
            clock.event = event
            if event.kind in ENDS and not (run / DIRECTORY).exists():
                for name, table, rows in self._files():
                    if name not in self.unstored:
                        store(run, book, table, name, partial(_write_lines, rows, self.torn.get(name, "")))
            book.append(_parsed(event))
        book.close()
        return run

    def result(self) -> Result:
        """What the measures make of it, violations planted in a copy included."""
        from harness.selftest.planted import prove

        return evaluate(self.evidence(), prove)

    def tables(self, **snapshots: Facts) -> Tables:
        """The tables alone; ``snapshots``: instead of those of the story's transitions."""
        return self._tables(snapshots or self.snapshots)

    def _whole(self) -> list[Event]:
        """The events with the end that the story did not tell."""
        found = sorted(self.events, key=lambda e: e.monotonic) if self._unordered() else list(self.events)
        found = [Event(number, e.monotonic, e.wall, e.kind, e.data) for number, e in enumerate(found, 1)]
        if self._ended or not found:
            return found
        last = found[-1]
        kinds = {e.kind for e in found}
        for kind, data in ENDS.items():
            if kind not in kinds:
                found.append(Event(len(found) + 1, last.monotonic + AFTER_S, last.wall + AFTER_S, kind, data))
        return found

    def _unordered(self) -> bool:
        return any(one.monotonic > other.monotonic for one, other in zip(self.events, self.events[1:], strict=False))

    def _files(self) -> Iterator[tuple[str, str, Facts]]:
        """The evidence files of a run: name, table, rows."""
        rows = self._rows(self.snapshots)
        yield from ((name, name, rows[name]) for name in ("witness", "links", "usage"))
        yield from ((f"access-{role}-story", "access", lines) for role, lines in self.access.items())
        for name in self.snapshots:
            yield name, "held", [fact for fact in rows["held"] if fact["snapshot"] == name]

    def _tables(self, snapshots: Mapping[str, Facts]) -> Tables:
        made = Tables()
        for table, rows in self._rows(snapshots).items():
            made.fill(table, rows)
        made.fill_journal([{"n": e.number, "m": e.monotonic, "t": e.wall, "k": e.kind, **e.data}
                           for e in self.events])
        return made

    def _rows(self, snapshots: Mapping[str, Facts]) -> dict[str, Facts]:
        """By table what was recorded, with what the story did not tell."""
        told = [{**record, "c": record.get("c")} for record in self.witness]
        contents: dict[tuple[Any, ...], int] = {}
        for record in told:
            if record["c"] is None and record.get("e") in ("try", "ack", "start"):
                record["c"] = _content(_identity(record))
            if record.get("e") == "ack" and record["c"] is not None:
                contents[_identity(record)] = record["c"]
        attempted = {(r.get("d"), r.get("wr"), r.get("n")) for r in told if r.get("s") == "ledger"}
        facts = [_completed({"snapshot": name, **fact}, contents, attempted)
                 for name, held_ in snapshots.items() for fact in held_]
        access = [{"role": role, **line} for role, lines in self.access.items() for line in lines]
        return {"witness": told + self._beats(), "links": self.links, "usage": self.usage, "access": access,
                "held": facts}

    def _beats(self) -> Facts:
        """Every site that has power says so, unless the story has it silent."""
        events = [_parsed(e) for e in self._whole() if e.kind not in BULK]
        if not events or (isinstance(events[0], RunStarted) and not events[0].beat_interval_s):
            return []
        off = outages(Evidence(events, Tables()))
        silent = [*self._silences, *((o.site, o.began, o.ended) for o in off if isinstance(o, Outage))]
        end = events[-1].wall
        found, at = [], 0.0
        while at <= end:
            found += [{"e": "beat", "r": site, "t": at} for site in self._sites
                      if not any(name == site and since <= at < until for name, since, until in silent)]
            at += BEAT_S
        return found


class _Clock:
    """Shows the time of the event that is being written."""

    def __init__(self, event: Event) -> None:
        self.event = event

    def monotonic(self) -> float:
        return self.event.monotonic

    def time(self) -> float:
        return self.event.wall


def _parsed(event: Event) -> Recorded:
    return parse(event.kind, event.data, event.number, event.monotonic, event.wall)


def _write_lines(rows: Facts, torn: str, path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + torn)


def held(rows: Iterable[tuple[str, str, int]] | None = None, tasks: Mapping[Any, Any] | None = None,
         logs: Iterable[str] | None = None, *, images: Iterable[str] = (), runs: Mapping[Any, str] | None = None,
         more: Iterable[Mapping[str, Any]] = ()) -> Facts:
    """What a look holds.

    ``rows``: (Deployment, writer, number) of ledger rows; ``tasks``: (Deployment, Dag, run, task, map index) to
    (state, try number) or (state, try number, retries); ``logs``, ``images``: keys; ``runs``: (Deployment, Dag, run) to
    the Dag run's state; ``more``: facts as they are (see :func:`fact`).
    """
    facts: Facts = [{"f": "row", "d": d, "wr": wr, "n": n} for d, wr, n in rows or ()]
    for (d, dag, run, task, index), (state, tries, *retries) in (tasks or {}).items():
        facts.append({"f": "ti", "d": d, "dag": dag, "run": run, "task": task, "map": index, "state": state,
                      "try": tries, "retries": retries[0] if retries else None})
    facts += [{"f": "run", "d": d, "dag": dag, "run": run, "state": state}
              for (d, dag, run), state in (runs or {}).items()]
    facts += [{"f": "log", "key": key} for key in logs or ()]
    facts += [{"f": "image", "key": key} for key in images]
    return facts + [dict(item) for item in more]


def fact(kind: str, deployment: str, key: str, value: Any) -> dict[str, Any]:
    """One item of a Deployment's fingerprint: a ``variable``, ``connection``, ``pool`` or ``environment``."""
    return {"f": kind, "d": deployment, "key": key, "c": _content((json.dumps(value, sort_keys=True),))}


def _identity(record: Mapping[str, Any]) -> tuple[Any, ...]:
    """What identifies a write, on the witness's side and on the look's."""
    if record.get("s") == "ledger" or record.get("f") == "row":
        return ("row", record.get("o") or record.get("d"), record.get("wr"), record.get("n"))
    if record.get("s") in ("task-logs", "images") or record.get("f") in ("log", "image"):
        return ("object", record.get("key"))
    what = {"xcom": "xcom", "dagrun": "run", "run": "run"}.get(str(record.get("k") or record.get("f")), "ti")
    return (what, record.get("d"), record.get("dag"), record.get("run"), record.get("task"), record.get("map"),
            record.get("n", record.get("try")) if what == "ti" else record.get("key"))


def _content(identity: tuple[Any, ...]) -> int:
    return zlib.crc32(repr(identity).encode())


def _completed(item: dict[str, Any], contents: Mapping[tuple[Any, ...], int],
               attempted: set[tuple[Any, ...]]) -> dict[str, Any]:
    """A fact with the owner and the content that it has where nothing went wrong."""
    if item["f"] == "row" and item.get("o") is None:
        here = (item["d"], item["wr"], item["n"]) in attempted
        others = sorted(d for d, wr, n in attempted if (wr, n) == (item["wr"], item["n"]))
        item["o"] = item["d"] if here or not others else others[0]
    if item.get("c") is None:
        identity = _identity(item)
        item["c"] = contents.get(identity, _content(identity))
    return item
