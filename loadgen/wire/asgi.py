"""HTTP servers on uvicorn that a stranger can neither fill nor hold up.

uvicorn waits for ever for a request that never comes, reads a head of any length, and leaves it to the
application to ask who calls before it reads a body of any length. So here

* a connection has :data:`PATIENCE_S` to send a request as a whole, and :data:`SLOW_S` to take what is sent to it;
* a head is at most :data:`HEAD_MOST` bytes long;
* of many connections (:data:`CONNECTIONS_MOST`) the one on which nothing has been worked at for longest is closed;
* a body is at most as long as the application says (:class:`BodyLimit`);
* what a proxy would say of a caller (``X-Forwarded-For``) is not believed: there is none.
"""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

PATIENCE_S = 20.0
SLOW_S = 60.0
HEAD_MOST = 64 * 1024
CONNECTIONS_MOST = 512


class BoundedHttp(HttpToolsProtocol):
    """One connection, which is closed when it is slower, longer or more idle than it may be."""

    _quiet: dict[BoundedHttp, None] = {}
    """The connections of this process for which nobody works, the longest quiet first."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The caller is there, and says nothing yet."""
        super().connection_made(transport)
        self._head, self._whole = 0, True
        self._since: float | None = self.loop.time()
        """Since when a request is awaited, or received; None while there is none or it is whole."""
        self._stuck: asyncio.TimerHandle | None = None
        self._watch = self.loop.call_later(PATIENCE_S, self._look)
        self._quiet[self] = None
        if len(self.connections) > CONNECTIONS_MOST:
            next(iter(self._quiet)).transport.abort()

    def data_received(self, data: bytes) -> None:
        """The caller says something: (a part of) a request."""
        if self._since is None and self._whole:
            self._since = self.loop.time()
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._head = 0
        elif self._whole:
            self._head += len(data)
            if self._head > HEAD_MOST:
                self.transport.abort()

    def on_headers_complete(self) -> None:
        """The parser's word: a head is whole, and the application may begin."""
        self._whole = False
        self._quiet.pop(self, None)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The parser's word: a request is whole."""
        self._whole, self._since = True, None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The application is done with a request."""
        super().on_response_complete()
        self._quiet[self] = None

    def pause_writing(self) -> None:
        """The caller does not take what is sent to it."""
        super().pause_writing()
        self._stuck = self.loop.call_later(SLOW_S, self.transport.abort)

    def resume_writing(self) -> None:
        """It does again."""
        super().resume_writing()
        if self._stuck is not None:
            self._stuck.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller is gone."""
        self._quiet.pop(self, None)
        self._watch.cancel()
        if self._stuck is not None:
            self._stuck.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        """Close the connection when a request has been on its way for too long; look again later."""
        late = None if self._since is None else self._since + PATIENCE_S - self.loop.time()
        if late is not None and late <= 0:
            self.transport.abort()
        else:
            self._watch = self.loop.call_later(late or PATIENCE_S, self._look)


def server_config(app: ASGIApp, host: str, port: int, **more: Any) -> uvicorn.Config:
    """The configuration of a bounded server; ``more``: further settings of uvicorn's own."""
    return uvicorn.Config(
        app, host=host, port=port, http=BoundedHttp, ws="none", log_level="warning", access_log=False,
        proxy_headers=False, forwarded_allow_ips="", server_header=False, workers=1, **more)


class BodyLimit:
    """ASGI middleware: 413 for a body that is longer than it may be, before or while it is read."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        """``most``: bytes."""
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if len(announced) > 15 or int(announced) > self._most:
            await self._refuse(scope, receive, send)
            return
        seen, begun, refused = 0, False, False

        async def counting() -> Message:
            nonlocal seen, refused
            message = await receive()
            seen += len(message.get("body", b""))
            if seen <= self._most:
                return message
            if not begun and not refused:
                refused = True
                await self._refuse(scope, receive, send)
            return {"type": "http.disconnect"}

        async def sending(message: Message) -> None:
            nonlocal begun
            if not refused:
                begun = True
                await send(message)

        try:
            await self._app(scope, counting, sending)
        except ClientDisconnect:
            if not refused:
                raise

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = JSONResponse(
            {"message": f"a request may have at most {self._most} bytes", "statusCode": 413}, 413)
        await refusal(scope, receive, send)
