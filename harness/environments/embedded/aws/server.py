"""An AWS endpoint for plain boto3: ``python -m harness.environments.embedded.aws.server``.

moto answers S3, Secrets Manager, KMS, IAM and Route 53. In front of it stand: a check of the
access key, which tells who calls (the signature itself is not verified), before a body is read; a bound for that
body; the access log that the dependency audit reads, a write-ahead log, S3 replication and the RDS actions of a global database (which moto lacks).
"""

from __future__ import annotations

import contextlib
import io
import json
import socket
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterable
from functools import partial
from http import HTTPStatus
from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.serialize import QuerySerializer
from moto.core.utils import get_service_model
from moto.moto_api._internal import mock_random
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from harness.environments.embedded.addresses import AWS, GLOBAL_AWS, POSTGRES, Site
from harness.environments.embedded.aws import metrics
from harness.environments.embedded.aws.global_cluster import RdsError
from harness.environments.embedded.aws.rds import RegionalRds
from harness.environments.embedded.aws.replication import REPLICA_PATH, Replicator
from harness.environments.embedded.aws.wal import WriteAheadLog, replayed_environ
from harness.environments.embedded.postgres import DIRECTORY, PostgresMember
from harness.environments.embedded.principals import principal
from harness.environments.embedded.site import SiteConfig
from loadgen.wire.listening import listen
from loadgen.wire.threads import BoundedThreads

Respond = Callable[..., Any]
READING_VERBS = ("Describe", "List", "Get", "Head")
BODY_MOST = 64 * 1024 * 1024
"""Bytes of a request. What is copied to the other region in one request is less, see ``replication``."""
SOCKET_S = 30.0
"""How long one read from a caller, or one write to it, may take."""
TRUST = "dr-drill.trust"
"""Where the server puts into a request's WSGI environment what is to be called once its caller is known."""


class AwsEndpoint:
    """The WSGI application of one site's AWS endpoint."""

    def __init__(self, site: SiteConfig) -> None:
        self._site = site
        self._moto = DomainDispatcherApplication(create_backend_app)
        directory = site.path / "aws"
        directory.mkdir(parents=True, exist_ok=True)
        self._wal = WriteAheadLog(directory / "wal.jsonl")
        self._access = (directory / "access.jsonl").open("a")
        self._access_lock = threading.Lock()
        self._mutating = threading.Lock()
        self._refused: tuple[str, ...] = ()
        """Services that a drill has taken away."""
        self._refused_until = 0.0
        self._rds_model = get_service_model("rds")
        self.replicator: Replicator | None = None
        self.rds: RegionalRds | None = None
        if site.role is not Site.OUTSIDE:
            peer = f"http://{site.to_peer(AWS)}:{AWS.port}"
            self.replicator = Replicator(peer, site.control_token, self._wal)
            member = PostgresMember(
                site.path / DIRECTORY, host=site.own(POSTGRES), port=POSTGRES.port,
                password=site.postgres_password, replication_password=site.replication_password,
                source_host=site.to_peer(POSTGRES),
                hold=None if site.postgres_hold is None else socket.socket(fileno=site.postgres_hold),
            )
            self.rds = RegionalRds(
                region=site.region, account=DEFAULT_ACCOUNT_ID,
                directory=directory, member=member, peer=peer, token=site.control_token,
                head_delay=site.simulated_head_delay,
            )

    def recover(self) -> None:
        """Apply the write-ahead log, then begin to replicate and to resume the database."""
        for record in self._wal.records():
            if note := record.get("note"):
                if self.replicator:
                    self.replicator.note(note)
                continue
            environ = replayed_environ(record)
            self._apply(environ, environ["wsgi.input"].getvalue(), record["seed"])
        if self.replicator:
            self.replicator.start()
        if self.rds:
            self.rds.global_cluster.start()
            if self.replicator:
                metrics.publish(self._site.region, self.rds.global_cluster, self.replicator)

    def __call__(self, environ: dict[str, Any], respond: Respond) -> Iterable[bytes]:
        """Answer one request (WSGI)."""
        started = time.time()
        seen: dict[str, str] = {}

        def recording(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            seen["status"] = status.split(" ", 1)[0]
            return respond(status, headers, *rest)

        path = environ["PATH_INFO"]
        service, action, who = "control", path, None
        try:
            if path == "/healthz":
                return _plain(recording, 200, {"ok": True})
            if path.startswith("/_dr/"):
                who = principal(str(environ.get("HTTP_X_DR_TOKEN", "")), self._site.control_tokens)
                if who is None:
                    return _turn_away(environ, recording, 403, "wrong token")
                _trust(environ)
                return self._control(path, environ, recording)
            key, service = _credential(environ)
            who = principal(key, self._site.aws_keys)
            if who is None:
                action = "denied"
                return _turn_away(environ, recording, 403, "unknown access key")
            _trust(environ)
            body = _body(environ)
            action = _action(environ, body)
            if service in self._refused and time.monotonic() < self._refused_until:
                return _plain(recording, 503, {"message": f"{service} is down (drill)"})
            if service == "rds":
                return self._rds(body, recording)
            return self._pass_on(environ, body, service, action, recording)
        except UnusableBody as error:
            return _turn_away(environ, recording, error.status, str(error))
        finally:
            if path != "/healthz":
                self._log(started, environ, who, service, action, seen.get("status", "500"))

    # -- inner works --------------------------------------------------------------------

    def _pass_on(
        self, environ: dict[str, Any], body: bytes, service: str, action: str, respond: Respond
    ) -> Iterable[bytes]:
        environ["wsgi.input"] = io.BytesIO(body)
        if not _mutates(environ, service, action):
            answered: Iterable[bytes] = self._moto(
                environ, self._with_status(environ, service, respond))
            return answered
        with self._mutating:
            seed = self._wal.append_request(environ, body)
            answer, status, headers = self._apply(environ, body, seed)
        respond(status, headers)
        return [answer]

    def _apply(
        self, environ: dict[str, Any], body: bytes, seed: int
    ) -> tuple[bytes, str, list[tuple[str, str]]]:
        if environ["PATH_INFO"] == REPLICA_PATH:
            assert self.replicator is not None
            self.replicator.accept(json.loads(body))
            return b"{}", "200 OK", [("Content-Type", "application/json")]
        caught: list[Any] = ["500 Internal Server Error", []]

        def catch(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
            caught[:] = [status, headers]

        environ["wsgi.input"] = io.BytesIO(body)
        mock_random.seed(seed)
        answer = b"".join(self._moto(environ, catch))
        if self.replicator and caught[0].startswith("2") and _service(environ) == "s3":
            bucket, _, key = environ["PATH_INFO"].lstrip("/").partition("/")
            query = urllib.parse.parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
            whole = environ["REQUEST_METHOD"] == "PUT" and not query.keys() - {"x-id"}
            joined = environ["REQUEST_METHOD"] == "POST" and "uploadId" in query
            if key and (whole or joined):
                self.replicator.written(bucket, urllib.parse.unquote(key))
        return answer, caught[0], caught[1]

    def _with_status(self, environ: dict[str, Any], service: str, respond: Respond) -> Respond:
        """Add ``x-amz-replication-status`` to the answers of GetObject and HeadObject."""
        replicator = self.replicator
        if service != "s3" or replicator is None:
            return respond
        bucket, _, key = environ["PATH_INFO"].lstrip("/").partition("/")

        def adding(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            version = next((v for k, v in headers if k.lower() == "x-amz-version-id"), None)
            state = replicator.status.get((bucket, urllib.parse.unquote(key), str(version)))
            if state:
                headers = [*headers, ("x-amz-replication-status", state)]
            return respond(status, headers, *rest)

        return adding

    def _rds(self, body: bytes, respond: Respond) -> Iterable[bytes]:
        parameters = dict(urllib.parse.parse_qsl(body.decode()))
        name = parameters.pop("Action", "")
        try:
            if self.rds is None:
                raise RdsError("InvalidAction", "this endpoint has no RDS")
            if name not in self._rds_model.operation_names:
                raise RdsError("InvalidAction", f"unknown action {name}")
            result = self.rds.action(name, parameters)
        except KeyError as missing:
            return _rds_error(respond, RdsError("MissingParameter", f"{missing} is required"))
        except RdsError as error:
            return _rds_error(respond, error)
        except Exception as error:
            print(f"rds {name}: {error!r}", flush=True)
            return _rds_error(respond, RdsError("InternalFailure", str(error), 500))
        answer = QuerySerializer(self._rds_model.operation_model(name)).serialize(result)
        payload = answer["body"]
        data = payload if isinstance(payload, bytes) else str(payload).encode()
        respond("200 OK", [("Content-Type", "text/xml"), ("Content-Length", str(len(data)))])
        return [data]

    def _control(self, path: str, environ: dict[str, Any], respond: Respond) -> Iterable[bytes]:
        raw = _body(environ)
        if path == REPLICA_PATH:
            with self._mutating:
                seed = self._wal.append_request(environ, raw)
                try:
                    self._apply(environ, raw, seed)
                except Exception as error:
                    return _plain(respond, 500, {"message": repr(error)})
            return _plain(respond, 200, {})
        if path == "/_dr/outage":
            asked = json.loads(raw)
            self._refused = tuple(asked["services"])
            self._refused_until = time.monotonic() + (asked.get("seconds") or float("inf"))
            return _plain(respond, 200, {"refused": self._refused})
        if path == "/_dr/s3/replication" and self.replicator:
            return _plain(respond, 200, self.replicator.metrics())
        if path.startswith("/_dr/rds/") and self.rds:
            try:
                body = json.loads(raw) if raw else {}
                return _plain(respond, 200, self.rds.global_cluster.control(path.removeprefix("/_dr/rds/"), body))
            except RdsError as error:
                return _plain(respond, error.status, {"message": str(error)})
        return _plain(respond, 404, {"message": f"no control call {path}"})

    def _log(self, started: float, environ: dict[str, Any], who: str | None, service: str, action: str,
             status: str) -> None:
        named = {"who": who} if who else {}
        line = json.dumps({
            "t": started, "caller": environ.get("REMOTE_ADDR", ""), **named, "service": service,
            "action": action, "status": status,
        })
        with self._access_lock:
            self._access.write(line + "\n")
            self._access.flush()


def _credential(environ: dict[str, Any]) -> tuple[str, str]:
    """The access key and the service that a request was signed for."""
    credential = str(environ.get("HTTP_AUTHORIZATION", "")).partition("Credential=")[2]
    parts = credential.split(",", 1)[0].split("/")
    return (parts[0], parts[-2]) if len(parts) >= 3 else ("", "unsigned")


def _service(environ: dict[str, Any]) -> str:
    return _credential(environ)[1]


def _action(environ: dict[str, Any], body: bytes) -> str:
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        return str(target).rsplit(".", 1)[-1]
    if body.startswith((b"Action=", b"Version=")) or b"&Action=" in body[:200]:
        return dict(urllib.parse.parse_qsl(body[:2000].decode(errors="replace"))).get("Action", "")
    return f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"


def _mutates(environ: dict[str, Any], service: str, action: str) -> bool:
    if service in ("s3", "route53"):
        return environ["REQUEST_METHOD"] not in ("GET", "HEAD")
    return not action.startswith(READING_VERBS)


class UnusableBody(Exception):
    """A request's body is too long, or not as long as it was said to be; ``status``: HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def _body(environ: dict[str, Any]) -> bytes:
    """The body of a request whose caller is known.

    Raises:
        UnusableBody: when it is too long, or ends early (its caller was cut off: what came is not what was sent).
    """
    length, source = str(environ.get("CONTENT_LENGTH") or ""), environ["wsgi.input"]
    if length:
        if not (length.isascii() and length.isdigit()):
            raise UnusableBody(400, "Content-Length is not a number")
        if len(length) > 15 or int(length) > BODY_MOST:
            raise UnusableBody(413, f"a request may have at most {BODY_MOST} bytes")
        data = bytes(source.read(int(length)))
        if len(data) < int(length):
            raise UnusableBody(400, "the body ends early")
        return data
    if environ.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked":
        data = bytes(source.read(BODY_MOST + 1))
        if len(data) > BODY_MOST:
            raise UnusableBody(413, f"a request may have at most {BODY_MOST} bytes")
        environ["CONTENT_LENGTH"] = str(len(data))
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        return data
    return b""


def _trust(environ: dict[str, Any]) -> None:
    """Tell the server that the caller is known: it may stay until it is answered."""
    if TRUST in environ:
        environ[TRUST]()


def _turn_away(environ: dict[str, Any], respond: Respond, status: int, message: str) -> list[bytes]:
    """Refuse a request without reading what is left of it."""
    if "werkzeug.socket" in environ:
        with contextlib.suppress(OSError):
            environ["werkzeug.socket"].shutdown(socket.SHUT_RD)
    return _plain(respond, status, {"message": message})


def _plain(respond: Respond, status: int, body: dict[str, Any]) -> list[bytes]:
    data = json.dumps(body).encode()
    respond(f"{status} {HTTPStatus(status).phrase}",
            [("Content-Type", "application/json"), ("Content-Length", str(len(data)))])
    return [data]


def _rds_error(respond: Respond, error: RdsError) -> list[bytes]:
    from xml.sax.saxutils import escape

    text = (f"<ErrorResponse><Error><Type>Sender</Type><Code>{escape(error.code)}</Code>"
            f"<Message>{escape(str(error))}</Message></Error></ErrorResponse>").encode()
    respond(f"{error.status} {HTTPStatus(error.status).phrase}",
            [("Content-Type", "text/xml"), ("Content-Length", str(len(text)))])
    return [text]


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = SOCKET_S

    def make_environ(self) -> Any:
        """The WSGI environment of a request."""
        trust = partial(self.server.trust, self.connection)
        return {**super().make_environ(), TRUST: trust}

    def log_request(self, *_: Any) -> None:
        """Requests are in the access log already."""


class _Server(BoundedThreads, ThreadedWSGIServer):
    """werkzeug's server, which strangers cannot hold up."""


def main() -> None:
    """Serve the site whose configuration file is the only argument."""
    site = SiteConfig.load(sys.argv[1])
    endpoint = AwsEndpoint(site)
    service = GLOBAL_AWS if site.role is Site.OUTSIDE else AWS
    endpoint.recover()
    with listen(site.own(service), service.port) as listener:
        server = _Server(site.own(service), service.port, endpoint, handler=_Handler, fd=listener.fileno())
    server.serve_forever()


if __name__ == "__main__":
    main()
