"""One connection that crosses a site's border: two ways, each as good as its direction lets it be.

Built on asyncio's protocols, not its streams: while a direction is whole (nearly always), bytes go from
one socket to the other within one callback, and a fleet's traffic costs next to nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, cast

CHUNK = 32 * 1024
WAITING_MOST = 1024 * 1024
"""Bytes of one way that wait here for a delay or a cut; then the sender is made to wait."""
GATHER_S = 0.04
"""A way that gathers is read no more often than this: a stream of small messages, such as write-ahead log,
costs a fleet more than its bytes do. (A message waits for half of it, about what separates Oregon from Ohio.)"""
SMALL = 16 * 1024
"""Bytes at a time that are a message; more of them are a transfer, and that does not wait."""
LAST_ANSWER_S = 5.0
"""How long a caller that is done speaking may wait for the rest of its answer."""


@dataclass
class Quality:
    """How one direction behaves. The gate is open unless the direction is cut."""

    cut: bool = False
    delay: float = 0.0
    rate: float | None = None
    free_at: float = 0.0
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.set(cut=self.cut, delay=self.delay, rate=self.rate)

    def set(self, *, cut: bool = False, delay: float = 0.0, rate: float | None = None) -> None:
        """Change the quality; connections that exist feel it at once."""
        self.cut, self.delay, self.rate = cut, delay, rate
        if cut:
            self.gate.clear()
        else:
            self.gate.set()

    @property
    def whole(self) -> bool:
        """Whether bytes arrive at once."""
        return not (self.cut or self.delay or self.rate)


class Way:
    """Carries bytes from one end to the other, in order; ``b""`` is the end of what is said."""

    def __init__(self, qualities: list[Quality], *, gathers: bool = False) -> None:
        """``qualities``: all of them apply. ``gathers``: whether small messages may wait for the next ones."""
        self._qualities, self._gathers = qualities, gathers
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._held = 0
        self._delivery: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        """Set once there is a sink, while its buffer has room."""
        self.source: asyncio.Transport | None = None
        self.sink: asyncio.Transport | None = None

    def carry(self, data: bytes) -> None:
        """Take bytes from the source."""
        if self._delivery is None and self.sink is not None and all(q.whole for q in self._qualities):
            self._write(self.sink, data)
            if self._gathers and 0 < len(data) < SMALL and self.source is not None:
                # What comes next waits in the socket's buffer, and is read in one piece.
                self.source.pause_reading()
                asyncio.get_running_loop().call_later(GATHER_S, self._hold_back)
            return
        now = asyncio.get_running_loop().time()
        for part in [data[i:i + CHUNK] for i in range(0, len(data), CHUNK)] or [b""]:
            self._waiting.append((now + max(q.delay for q in self._qualities), part))
        self._held += len(data)
        self._hold_back()
        if self._delivery is None:
            self._delivery = asyncio.ensure_future(self._deliver())

    def sink_is(self, *, writable: bool) -> None:
        """The sink's own buffer is full, or has room again."""
        if writable:
            self._writable.set()
        else:
            self._writable.clear()
        self._hold_back()

    async def delivered(self) -> None:
        """Wait until nothing waits here any more."""
        while self._delivery is not None:
            await asyncio.wait({self._delivery})

    async def passable(self) -> None:
        """Wait until the direction is not cut."""
        for quality in self._qualities:
            await quality.gate.wait()

    def stop(self) -> None:
        """Carry nothing any more."""
        if self._delivery is not None:
            self._delivery.cancel()

    async def _deliver(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            due, data = self._waiting[0]
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            for quality in self._qualities:
                await quality.gate.wait()
                if quality.rate:
                    quality.free_at = max(loop.time(), quality.free_at) + len(data) / quality.rate
                    await asyncio.sleep(max(0.0, quality.free_at - loop.time()))
            await self._writable.wait()
            if any(quality.cut for quality in self._qualities):
                continue  # cut while something else was waited for
            self._waiting.popleft()
            self._held -= len(data)
            if self.sink is not None:
                self._write(self.sink, data)
            self._hold_back()
        self._delivery = None

    def _hold_back(self) -> None:
        if self.source is None or self.source.is_closing():
            return
        if self._held > WAITING_MOST or not self._writable.is_set():
            self.source.pause_reading()
        else:
            self.source.resume_reading()

    @staticmethod
    def _write(sink: asyncio.Transport, data: bytes) -> None:
        if sink.is_closing():
            return
        if data:
            sink.write(data)
        elif sink.can_write_eof():
            with contextlib.suppress(OSError, RuntimeError):
                sink.write_eof()


class End(asyncio.Protocol):
    """One socket of a connection: reads into one way, is written to by the other."""

    def __init__(self, connection: Connection, out: Way, back: Way, spoke: Callable[[], None]) -> None:
        self._connection, self._out, self._back, self._spoke = connection, out, back, spoke

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there."""
        self._out.source = self._back.sink = cast(asyncio.Transport, transport)
        self._back.sink_is(writable=True)
        self._connection.made(self)

    def data_received(self, data: bytes) -> None:
        """The end speaks."""
        self._spoke()
        self._out.carry(data)

    def eof_received(self) -> bool:
        """The end is done speaking; it still listens."""
        self._out.carry(b"")
        self._connection.done_speaking(self)
        return True

    def pause_writing(self) -> None:
        """The end does not listen as fast as the other speaks."""
        self._back.sink_is(writable=False)

    def resume_writing(self) -> None:
        """The end has caught up."""
        self._back.sink_is(writable=True)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone, and with it the connection."""
        self._connection.lost(self._out, exc)


class Connection:
    """A caller's socket and the one to the server, and the two ways between them."""

    def __init__(
        self, forward: list[Quality], backward: list[Quality], *, target: tuple[str, int],
        source: tuple[str, int], record: Callable[..., None], ended: Callable[[Connection], Any],
        gathers: bool = False,
    ) -> None:
        """``record``: takes an event's name and fields; ``ended``: told once when it is over."""
        self._target, self._source, self._record, self._ended = target, source, record, ended
        self._qualities = [*forward, *backward]
        there, here = Way(forward, gathers=gathers), Way(backward, gathers=gathers)
        self._ways = (there, here)
        self.caller = End(self, there, here, self._caller_spoke)
        self._server = End(self, here, there, self._server_spoke)
        self._caller_has_the_word = False
        self._dialing: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._over = False

    def made(self, end: End) -> None:
        """An end's socket is there; the caller's is first."""
        if end is self.caller:
            self._record("connect")
            self._dialing = asyncio.ensure_future(self._dial())

    def done_speaking(self, end: End) -> None:
        """Let the rest of an answer through, but not forever; after a server's last word all is said."""
        self._end_with(self._finish(LAST_ANSWER_S if end is self.caller else 0.0))

    def lost(self, way: Way, error: Exception | None) -> None:
        """An end's socket is gone. The other end hears of a reset as it hears of anything: by the way."""
        if not self._over:
            self._end_with(self._break(way, orderly=error is None))

    def drop(self) -> None:
        """Abort both ends at once, with all bytes on their way."""
        self._over = True
        for task in (self._dialing, self._ending):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
        for way in self._ways:
            way.stop()
            if way.sink is not None:
                way.sink.abort()
        self._ended(self)

    def _end_with(self, how: Coroutine[Any, Any, None]) -> None:
        if self._ending is not None:
            self._ending.cancel()
        self._ending = asyncio.ensure_future(how)

    async def _finish(self, patience: float) -> None:
        await asyncio.sleep(patience)
        for way in self._ways:
            await way.delivered()
        for way in self._ways:
            if way.sink is not None:
                way.sink.close()

    async def _break(self, way: Way, *, orderly: bool) -> None:
        await way.passable()
        if orderly and way.sink is not None:
            # What is written to it is sent before it closes.
            way.sink.close()
            way.sink = None
        self.drop()

    async def _dial(self) -> None:
        for quality in self._qualities:
            await quality.gate.wait()
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: self._server, *self._target, local_addr=self._source)
        except OSError as error:
            self._record("refused", error=str(error))
            self.drop()

    def _caller_spoke(self) -> None:
        if not self._caller_has_the_word:
            self._caller_has_the_word = True
            self._record("request")

    def _server_spoke(self) -> None:
        self._caller_has_the_word = False
