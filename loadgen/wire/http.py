"""HTTP clients that take nothing from the shell."""

from __future__ import annotations

from typing import Any

import httpx


def http_client(**settings: Any) -> httpx.Client:
    """An ``httpx.Client``; ``settings`` are its own."""
    return httpx.Client(trust_env=False, **settings)


def async_http_client(**settings: Any) -> httpx.AsyncClient:
    """An ``httpx.AsyncClient``; ``settings`` are its own."""
    return httpx.AsyncClient(trust_env=False, **settings)
