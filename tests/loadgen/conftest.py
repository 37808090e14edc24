"""A witness on a leased address that can be away."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness.environments.embedded.addresses import WITNESS, BlockLease, Site
from loadgen.spool import Room
from loadgen.wire.jsonlines import serve_lines
from loadgen.witness import Witness, WitnessClient
from tests.harness.environments.embedded.conftest import until


class Place:
    """Where the witness is, or is not; and its clients."""

    def __init__(self, host: str, directory: Path) -> None:
        self.address = (host, WITNESS.port, "token")
        self.log, self.spool = directory / "witness.jsonl", directory / "spool"
        self.witness = Witness(self.log)
        self.away = False
        """Messages are lost on their way there."""
        self.answers_lost = 0
        """So many answers are lost on their way back."""
        self.refused = 0
        self.clients: list[WitnessClient] = []
        self._closing: Callable[[], object] | None = None

    def open(self) -> None:
        """Listen; before, nobody does."""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        until(lambda: self._closing)

    def close(self) -> None:
        """Do so no more."""
        if self._closing is not None:
            self._closing()
            self._thread.join()

    async def _serve(self) -> None:
        serving = asyncio.create_task(serve_lines(*self.address, self.handle))
        self._closing = partial(asyncio.get_running_loop().call_soon_threadsafe, serving.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await serving

    async def handle(self, message: Any) -> Any:
        if self.away:
            self.refused += 1
            raise ConnectionError("cut")
        answer = await self.witness.handle(message)
        if self.answers_lost and not isinstance(message, dict):
            self.answers_lost -= 1
            raise ConnectionError("cut")
        return answer

    def client(self, *, memory: bool = False, room: Room | None = None, patrols: bool = False) -> WitnessClient:
        made = WitnessClient(*self.address, None if memory else self.spool, room=room, patrols=patrols,
                             who={"r": "west"})
        self.clients.append(made)
        return made

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def numbers(self) -> list[int]:
        """Of the acknowledgements that were heard."""
        return [record["n"] for record in self.records() if record["e"] == "ack"]

    def waiting(self) -> list[dict[str, Any]]:
        """What lies in the files of all clients."""
        return [json.loads(line) for path in sorted(self.spool.glob("*.jsonl"))
                for line in path.read_text().splitlines()]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    lease = BlockLease()
    made = Place(lease.acquire().service(Site.OUTSIDE, WITNESS), tmp_path)
    yield made
    for client in made.clients:
        client.close(0)
    made.close()
    lease.release()


class Told:
    """A witness's client that keeps what it is told."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def tell(self, **record: Any) -> None:
        self.records.append(record)

    def of(self, event: str, stream: str | None = None) -> list[dict[str, Any]]:
        """The records of an event, and of a stream."""
        return [r for r in self.records if r["e"] == event and (stream is None or r.get("s") == stream)]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The module, imported with a home of its own for Airflow, which it writes to when it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
        import loadgen.executor

    return loadgen.executor
