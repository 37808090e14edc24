"""A write-ahead log under moto, so that a killed region does not forget its objects.

moto keeps everything in memory. A region that loses power must come back with what it had
acknowledged, or every drill would report losses that no region has. So each request that changes
something is appended here before it is applied, together with the seed of moto's random
numbers (version ids, request ids), and applied again in the same order at start: same requests,
same seeds, same state.

Surviving SIGKILL needs no fsync: the page cache belongs to the kernel, not to the process.
"""

from __future__ import annotations

import base64
import io
import json
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

KEPT = ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "SERVER_NAME", "SERVER_PORT", "RAW_URI",
        "REQUEST_URI", "CONTENT_TYPE", "CONTENT_LENGTH")
SECRETS = ("HTTP_AUTHORIZATION", "HTTP_X_DR_TOKEN", "HTTP_X_AMZ_SECURITY_TOKEN")
"""Never kept: who asked has been checked, and is not checked again."""


class WriteAheadLog:
    """Requests and notes, one JSON line each, in the order in which they were applied."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sink: Any = None

    def append_request(self, environ: dict[str, Any], body: bytes) -> int:
        """Record a request; returns the seed to apply it with."""
        seed = random.SystemRandom().getrandbits(64)
        kept = {k: v for k, v in environ.items() if k in KEPT or k.startswith("HTTP_")}
        for secret in SECRETS:
            kept.pop(secret, None)
        scope = _scope(environ)
        self._write({"request": kept, "scope": scope, "seed": seed,
                     "body": base64.b64encode(body).decode()})
        return seed

    def append_note(self, note: dict[str, Any]) -> None:
        """Record a change that no request carries (a replication status)."""
        self._write({"note": note})

    def records(self) -> Iterator[dict[str, Any]]:
        """What was recorded; a torn last line (killed while writing) is left out."""
        if not self._path.exists():
            return
        with self._path.open() as source:
            for line in source:
                if line.endswith("\n"):
                    yield json.loads(line)

    def _write(self, record: dict[str, Any]) -> None:
        if self._sink is None:
            _drop_torn_tail(self._path)
            self._sink = self._path.open("a")
        self._sink.write(json.dumps(record, separators=(",", ":")) + "\n")
        self._sink.flush()


def replayed_environ(record: dict[str, Any]) -> dict[str, Any]:
    """The WSGI environment of a recorded request."""
    body = base64.b64decode(record["body"])
    return {
        **record["request"],
        "HTTP_AUTHORIZATION": f"AWS4-HMAC-SHA256 Credential=replay/{record['scope']}, "
        "SignedHeaders=host, Signature=replay",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.url_scheme": "http",
        "wsgi.version": (1, 0),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def _scope(environ: dict[str, Any]) -> str:
    """``date/region/service/aws4_request`` of a signed request (the key id is not kept)."""
    credential = str(environ.get("HTTP_AUTHORIZATION", "")).split("Credential=", 1)[-1]
    return credential.split(",", 1)[0].split("/", 1)[-1]


def _drop_torn_tail(path: Path) -> None:
    if not path.exists():
        return
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole != len(data):
        with path.open("r+b") as sink:
            sink.truncate(whole)
