"""Who may do what: bearer tokens with scopes."""

from __future__ import annotations

import hmac
from enum import IntEnum

from orchestrator.config import OrchestratorConfig


class Scope(IntEnum):
    """What a token may do; each includes the ones before it."""

    READ = 1
    WRITE = 2
    ADMIN = 3


def scope_of(authorization: str, config: OrchestratorConfig) -> Scope | None:
    """The scope of an ``Authorization`` header; None for a token that is missing or wrong."""
    offered = authorization.removeprefix("Bearer ").encode() if authorization.startswith("Bearer ") else b""
    found = None
    for scope, token in ((Scope.READ, config.read_token), (Scope.WRITE, config.api_token),
                         (Scope.ADMIN, config.admin_token)):
        if token and hmac.compare_digest(offered, token.encode()):
            found = scope
    return found


def is_agent(authorization: str, config: OrchestratorConfig) -> bool:
    """Whether a header carries the agents' token."""
    return hmac.compare_digest(authorization.encode(), f"Bearer {config.agent_token}".encode())
