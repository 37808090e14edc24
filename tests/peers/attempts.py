"""What another user of the machine tries. Each attempt tells what was possible, or None where it was refused.

Nothing is changed where an attempt succeeds: files are opened and not written, a forged request asks for nothing that
would disturb the drill. A process that has given up its rights may find no module any more, so all are imported here.
"""

from __future__ import annotations

import base64
import ctypes
import encodings.idna  # noqa: F401  (a name with a dot is encoded by it, and it is imported late)
import os
import re
import signal
import socket
import ssl
import stat
import struct
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jwt
import psycopg

from tests.peers.findings import Findings
from tests.peers.inventory import Inventory

TIMEOUT_S = 3.0
AT_ONCE = 8
"""Listeners that are tried at the same time."""
MOST = 65536
HEALTH = re.compile(rb'^[\s{"]*(status|detail|ok)?[\s":]*(ok|healthy|ready|alive|true)?[\s"}]*$', re.I)
"""A word that says that a server lives, or nothing."""
REFUSED = {400, 401, 403, 404, 405, 406, 411, 413, 415, 422, 429, 431, 501, 503}
AIRFLOWS_OWN = ("/api/v2/version", "/api/v2/monitor/health", "/execution/health", "/auth/login", "/auth/")
"""Airflow shows these to anybody: its version, its health, the page to log in."""
CONSTANTS = ("replaced-in-every-pod-before-anything-is-signed-0123456789", "replaced-in-every-pod", "secret", "warm")
"""Keys that stand, or stood, in somebody's source."""
PATHS = (
    "/", "/healthz", "/readyz", "/health", "/metrics", "/docs", "/redoc", "/openapi.json", "/version", "/api", "/apis",
    "/openapi/v3", "/api/v1/secrets", "/api/v1/namespaces", "/api/v1/pods", "/pods", "/containerLogs/a/b/c",
    "/platform/v1beta1/organizations/dr-drill/clusters", "/platform/v1beta1/organizations/dr-drill/deployments",
    "/agent/manifests", "/_dr/rds/replication", "/_dr/s3/replication", "/_dr/rds/epoch", "/moto-api/", "/moto-api/data.json",
    "/api/v2/version", "/api/v2/monitor/health", "/api/v2/variables", "/api/v2/connections", "/api/v2/dags",
    "/api/v2/config", "/auth/token", "/execution/health", "/execution/docs", "/ui/config")
ASKED_WITH_TOKENS = ("/api/v1/secrets", "/platform/v1beta1/organizations/dr-drill/clusters", "/_dr/rds/replication",
                     "/api/v2/connections", "/api/v2/variables", "/metrics", "/pods", "/")
POSTED = (
    ("/", "application/x-www-form-urlencoded", b"Action=DescribeDBClusters&Version=2014-10-31"),
    ("/moto-api/seed?a=1", "application/json", b""), ("/_dr/outage", "application/json", b'{"services":[]}'),
    ("/auth/token", "application/json", b'{"username":"admin","password":"wrong"}'),
    ("/auth/token", "application/json", b'{"username":"admin","password":""}'),
    ("/api/v1/namespaces/default/pods?dryRun=All", "application/json", b'{"metadata":{"name":"x"},"spec":{"containers":[]}}'))
LINES = (b"\n{\"stats\":true}\n", b"wrong\n{\"stats\":true}\n", b"{\"stats\":true}\n", b"\x00\xff\xfe\n\n", b"Bearer \n{}\n")


def everything(inventory: Inventory, secrets: Mapping[str, str], hostnames: Sequence[str]) -> Findings:
    """Try all."""
    made = Findings()
    for path in inventory.paths:
        made.attempt(*_file(path))
    for pid in inventory.processes:
        for kind, what, outcome in _process(pid, secrets):
            made.attempt(kind, what, outcome)
    for number in inventory.segments:
        made.attempt("shared memory", str(number), _attached(number))
    for name in inventory.unix:
        made.attempt("socket", name, _connected(name))
    for address, port in inventory.datagrams:
        made.attempt("datagrams", f"{address}:{port}", None if _is_loopback(address) else "open to other machines")
        made.attempt("stand-in", f"{address}:{port}", _stood_in_for(address, port, socket.SOCK_DGRAM))
    for address, port in inventory.listeners:
        made.attempt("stand-in", f"{address}:{port}", _stood_in_for(address, port, socket.SOCK_STREAM))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        tried = pool.map(lambda end: list(_listener(*end, hostnames)), inventory.listeners)
        for (address, port), outcomes in zip(inventory.listeners, tried, strict=True):
            for outcome in outcomes:
                made.attempt("listener", f"{address}:{port}", outcome)
    return made


def _stood_in_for(address: str, port: int, kind: socket.SocketKind) -> str | None:
    """Whether another can be where somebody is: what is said to the one, the other hears."""
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as other:
            try:
                other.setsockopt(socket.SOL_SOCKET, option, 1)
                other.bind((address, port))
                if kind is socket.SOCK_STREAM:
                    other.listen()
            except OSError:
                continue
        return "another can answer in its place"
    return None


# -- files ---------------------------------------------------------------------------------------


def _file(path: str) -> tuple[str, str, str | None]:
    try:
        found = os.lstat(path)
    except OSError:
        return "file", path, None
    if stat.S_ISLNK(found.st_mode):
        return "file", path, None  # what it leads to is tried by itself
    if stat.S_ISDIR(found.st_mode):
        return "directory", path, _directory(path)
    if stat.S_ISSOCK(found.st_mode):
        return "socket", path, _connected(path)
    can = [word for word, flags in (("read", os.O_RDONLY), ("written", os.O_WRONLY)) if _opens(path, flags)]
    return "file", path, f"can be {' and '.join(can)}" if can else None


def _directory(path: str) -> str | None:
    if os.access(path, os.W_OK | os.X_OK):
        return "can be written into"
    try:
        os.listdir(path)
    except OSError:
        return None
    return "can be listed"


def _opens(path: str, flags: int) -> bool:
    try:
        os.close(os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC))
    except OSError:
        return False
    return True


# -- processes -----------------------------------------------------------------------------------


def _process(pid: int, secrets: Mapping[str, str]) -> Iterator[tuple[str, str, str | None]]:
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        arguments = b""
    name = arguments.replace(b"\0", b" ").decode(errors="replace")[:60]
    held = [what for what, value in secrets.items() if value.encode() in arguments]
    yield "arguments", f"{pid} {name}", f"tell {held[0]}" if held else None
    for part in ("environ", "maps", "io", "auxv", "mem", "stack"):
        yield "process", f"{pid} {name}", f"its {part} can be read" if _reads(f"/proc/{pid}/{part}") else None
    for part in ("cwd", "root", "exe"):
        yield "process", f"{pid} {name}", f"its {part} can be read" if _link(f"/proc/{pid}/{part}") else None
    try:
        os.listdir(f"/proc/{pid}/fd")
        yield "process", f"{pid} {name}", "its open files can be listed"
    except OSError:
        yield "process", f"{pid} {name}", None
    try:
        os.kill(pid, signal.SIG_DFL)  # signal 0: only whether it could be sent
        yield "process", f"{pid} {name}", "it can be sent signals"
    except OSError:
        yield "process", f"{pid} {name}", None


def _reads(path: str) -> bool:
    try:
        with open(path, "rb") as source:
            return bool(source.read(1))
    except OSError:
        return False


def _link(path: str) -> bool:
    try:
        return bool(os.readlink(path))
    except OSError:
        return False


def _attached(number: int) -> str | None:
    library = ctypes.CDLL(None, use_errno=True)
    library.shmat.restype = ctypes.c_void_p
    at = library.shmat(number, None, 0o10000)  # SHM_RDONLY
    if at in (None, ctypes.c_void_p(-1).value):
        return None
    library.shmdt(ctypes.c_void_p(at))
    return "can be attached"


def _connected(name: str) -> str | None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(TIMEOUT_S)
        try:
            client.connect("\0" + name[1:] if name.startswith("@") else name)
        except OSError:
            return None
    return "accepts a connection"


# -- listeners -----------------------------------------------------------------------------------


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"


def _listener(address: str, port: int, hostnames: Sequence[str]) -> Iterator[str | None]:
    yield None if _is_loopback(address) else "open to other machines"
    first = _exchange(address, port, _request("GET", "/", address))
    if first is None:
        yield None  # nobody answers (a link whose other end has no power, say)
        return
    if first.startswith(b"HTTP/"):
        yield from _http(address, port, hostnames, tls=False)
        return
    if _exchange(address, port, _request("GET", "/", address), tls=True):
        yield from _http(address, port, hostnames, tls=True)
        return
    if _exchange(address, port, struct.pack("!ii", 8, 80877103)) in (b"S", b"N"):
        yield from _postgres(address, port)
        return
    for payload in (b"", *LINES):
        answer = _exchange(address, port, payload) or b""
        said = answer.decode(errors="replace").strip()
        yield f"answers {said[:60]!r}" if said and "wrong token" not in said else None


def _exchange(address: str, port: int, payload: bytes, tls: bool = False) -> bytes | None:
    """What is answered until the other side closes, or nothing more comes; None where nobody listens."""
    try:
        client: socket.socket = socket.create_connection((address, port), timeout=TIMEOUT_S)
    except OSError:
        return None
    answer = b""
    with client:
        try:
            if tls:
                client = CONTEXT.wrap_socket(client)
            client.sendall(payload)
            deadline = time.monotonic() + TIMEOUT_S
            while len(answer) < MOST and time.monotonic() < deadline and (part := client.recv(MOST)):
                answer += part
                if _whole(answer) or (payload and not answer.startswith(b"HTTP/")):
                    break
        except (OSError, ValueError):
            pass
        finally:
            client.close()
    return answer


def _whole(answer: bytes) -> bool:
    """Whether an HTTP answer has as long a body as it says."""
    head, gap, body = answer.partition(b"\r\n\r\n")
    said = re.search(rb"content-length:\s*(\d+)", head, re.I)
    return bool(gap and said and len(body) >= int(said[1]))


def _context() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    return made


CONTEXT = _context()


def _request(method: str, path: str, host: str, headers: Mapping[str, str] | None = None, body: bytes = b"",
             kind: str = "application/json") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", "Accept: */*"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if method != "GET":
        lines += [f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def _http(address: str, port: int, hostnames: Sequence[str], *, tls: bool) -> Iterator[str | None]:
    for host in (address, *hostnames):
        for path in PATHS:
            yield _judged(f"GET {path}", path, _exchange(address, port, _request("GET", path, host), tls))
        for path in ASKED_WITH_TOKENS:
            for name, headers in CREDENTIALS:
                answer = _exchange(address, port, _request("GET", path, host, headers), tls)
                yield _judged(f"GET {path} with {name}", path, answer)
        for path, kind, body in POSTED:
            answer = _exchange(address, port, _request("POST", path, host, {}, body, kind), tls)
            yield _judged(f"POST {path}", path, answer)


def _judged(asked: str, path: str, answer: bytes | None) -> str | None:
    """What an answer gives away."""
    head, _, body = (answer or b"").partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1]) if head.startswith(b"HTTP/") else 0
    if not status or status in REFUSED or 500 <= status <= 599:
        return None
    plain = body.split(b"\r\n", 1)[-1].rsplit(b"\r\n0", 1)[0] if b"chunked" in head.lower() else body
    if HEALTH.match(plain) and len(plain) < 64:
        return None
    if path in AIRFLOWS_OWN or b"<title>Airflow" in body or b'"title":"Airflow API"' in body or (300 <= status < 400 and b"/auth/login" in head):
        return None
    return f"{asked} is answered with {status}"


def _forged() -> Iterator[tuple[str, str]]:
    """Tokens that are signed with nothing, or with what everybody knows."""
    now = int(time.time())
    claims = {"sub": "admin", "role": "admin", "username": "admin", "aud": "apache-airflow", "iss": "", "iat": now - 5,
              "nbf": now - 5, "exp": now + 3600, "jti": "0" * 32, "scope": "execution"}
    parts = [base64.urlsafe_b64encode(text).rstrip(b"=").decode() for text in
             (b'{"alg":"none","typ":"JWT"}', str(claims).replace("'", '"').encode())]
    yield "an unsigned token", ".".join([*parts, ""])
    for key in CONSTANTS:
        for algorithm in ("HS512", "HS256"):
            with warnings.catch_warnings(action="ignore"):  # the keys are as bad as they look
                yield f"a token signed with {key!r}", jwt.encode(claims, key, algorithm)


def _credentials() -> Iterator[tuple[str, dict[str, str]]]:
    yield "an empty token", {"Authorization": "Bearer "}
    yield "no token after its word", {"Authorization": "Bearer"}
    yield "a wrong token", {"Authorization": "Bearer wrong"}
    yield "a token of another kind", {"Authorization": "Basic YWRtaW46YWRtaW4="}
    yield "an empty control token", {"x-dr-token": ""}
    yield "a wrong control token", {"x-dr-token": "wrong"}
    for service in ("s3", "rds", "iam"):
        yield f"an unknown access key for {service}", {"Authorization": (
            f"AWS4-HMAC-SHA256 Credential=AKIAFORGED0000000000/20260101/us-east-1/{service}/aws4_request, "
            "SignedHeaders=host, Signature=00")}
    yield "an empty access key", {"Authorization": "AWS4-HMAC-SHA256 Credential=/20260101/us-east-1/s3/aws4_request, "
                                                   "SignedHeaders=host, Signature=00"}
    for name, token in _forged():
        yield name, {"Authorization": f"Bearer {token}"}
        yield f"{name} as a cookie", {"Cookie": f"_token={token}"}


CREDENTIALS = tuple(_credentials())


def _postgres(address: str, port: int) -> Iterable[str | None]:
    for user in ("postgres", "airflow", "replicator", "replication", "nobody"):
        for password in (None, "", "wrong", "postgres", "airflow"):
            for replication in ("", " replication=true"):
                given = "" if password is None else f" password='{password}'"
                try:
                    psycopg.connect(f"host={address} port={port} user={user}{given} dbname=postgres connect_timeout=3"
                                    f" passfile=/nowhere sslmode=disable{replication}").close()
                except psycopg.Error:
                    yield None
                else:
                    yield f"lets {user} in with password {password!r}{replication}"
