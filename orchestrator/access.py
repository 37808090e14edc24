"""Who may do what: bearer tokens with scopes, asked for before anything else of a request is read."""

from __future__ import annotations

import hmac
import uuid
from enum import IntEnum

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.config import OrchestratorConfig

REQUEST_ID = "x-request-id"
OPEN = ("/healthz",)
"""What everybody may ask: it tells that the server runs, and nothing else."""
AGENTS = "/agent/"


class Access(IntEnum):
    """What a token may do; each includes the ones before it."""

    READ = 1
    WRITE = 2
    ADMIN = 3


def access_of(authorization: str, config: OrchestratorConfig) -> Access | None:
    """What an ``Authorization`` header allows; None for a token that is missing or wrong."""
    found = None
    for access, token in ((Access.READ, config.read_token), (Access.WRITE, config.api_token),
                          (Access.ADMIN, config.admin_token)):
        if _is(authorization, token):
            found = access
    return found


def is_agent(authorization: str, config: OrchestratorConfig) -> bool:
    """Whether a header carries the agents' token."""
    return _is(authorization, config.agent_token)


def _is(authorization: str, token: str | None) -> bool:
    # Compared in constant time, and always: how long a refusal takes tells nothing.
    same = hmac.compare_digest(authorization.encode(), f"Bearer {token}".encode())
    return same and bool(token)


class TokenFirst:
    """ASGI middleware: whoever has no token is told so, and nothing of what they send is read.

    Everything needs one but :data:`OPEN`, the documents of the API included, and what is added later. A caller's
    :class:`Access` is in the request's state.
    """

    def __init__(self, app: ASGIApp, config: OrchestratorConfig) -> None:
        self._app, self._config = app, config

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "lifespan" and scope["path"] not in OPEN:
            authorization = Headers(scope=scope).get("authorization", "")
            if scope["path"].startswith(AGENTS):
                known = is_agent(authorization, self._config)
            else:
                access = access_of(authorization, self._config)
                known = access is not None
                scope.setdefault("state", {})["access"] = access
            if not known:
                request_id = uuid.uuid4().hex
                await JSONResponse(
                    {"message": "the token is missing or wrong", "requestId": request_id, "statusCode": 401}, 401,
                    headers={REQUEST_ID: request_id, "www-authenticate": "Bearer"})(scope, receive, send)
                return
        await self._app(scope, receive, send)
