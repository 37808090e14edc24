"""The Kubernetes API of one region: ``python -m harness.environments.embedded.kube.server``.

Good enough for the official client and for kubectl: discovery, create, replace, the three
patches, delete with cascade, lists, watches, status and scale, pod logs, bearer tokens over TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import uvicorn
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from harness.environments.embedded.addresses import KUBELET, KUBERNETES
from harness.environments.embedded.kube import resources
from harness.environments.embedded.kube.controllers import Controllers
from harness.environments.embedded.kube.errors import ApiError, bad_request, not_found
from harness.environments.embedded.kube.patches import apply, json_merge, strategic_merge
from harness.environments.embedded.kube.resources import Resource
from harness.environments.embedded.kube.selectors import field_selector, label_selector
from harness.environments.embedded.kube.store import Store, encode_secret, now
from harness.environments.embedded.kube.tables import table
from harness.environments.embedded.principals import principal
from harness.environments.embedded.site import SiteConfig
from loadgen.wire.asgi import BodyLimit, server_config
from loadgen.wire.http import async_http_client
from loadgen.wire.listening import listen

Object = dict[str, Any]
WATCH_SECONDS = 300.0
BODY_MOST = 3 * 1024 * 1024
"""Bytes of a request, as kube-apiserver has it."""


class KubernetesApi:
    """The HTTP face of a :class:`Store`."""

    def __init__(self, site: SiteConfig) -> None:
        self._site = site
        directory = site.path / "kube"
        directory.mkdir(parents=True, exist_ok=True)
        self.store = Store(directory / "objects.jsonl")
        self._access = (directory / "access.jsonl").open("a")
        if self.store.find("Namespace", "", "default") is None:
            for name in ("default", "kube-system"):
                self.store.create(resources.BY_KIND["Namespace"], "", {"metadata": {"name": name}})

    def app(self) -> ASGIApp:
        """The ASGI application."""

        @contextlib.asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            control = asyncio.create_task(Controllers(self.store).run())
            yield
            control.cancel()

        methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        routes = [
            Route("/healthz", lambda _: PlainTextResponse("ok")),
            Route("/readyz", lambda _: PlainTextResponse("ok")),
            Route("/version", lambda _: JSONResponse(
                {"major": "1", "minor": "32", "gitVersion": "v1.32.0-dr-drill-embedded",
                 "platform": "linux/amd64"})),
            Route("/api", lambda _: JSONResponse({"kind": "APIVersions", "versions": ["v1"]})),
            Route("/apis", lambda _: JSONResponse(resources.groups())),
            Route("/openapi/v3", self._openapi_root),
            Route("/openapi/v3/{path:path}", self._openapi),
            Route("/api/{version}", self._discovery),
            Route("/apis/{group}", self._group),
            Route("/apis/{group}/{version}", self._discovery),
            Route("/api/{version}/{path:path}", self._objects, methods=methods),
            Route("/apis/{group}/{version}/{path:path}", self._objects, methods=methods),
        ]
        inner = Starlette(routes=routes, lifespan=lifespan)
        return self._guarded(BodyLimit(inner, BODY_MOST))

    # -- discovery ----------------------------------------------------------------------

    async def _discovery(self, request: Request) -> Response:
        found = resources.discovery(
            request.path_params.get("group", ""), request.path_params["version"]
        )
        return JSONResponse(found) if found else _refuse(ApiError(404, "NotFound", "no such group"))

    async def _group(self, request: Request) -> Response:
        held: Any = resources.groups()["groups"]
        for group in held:
            if group["name"] == request.path_params["group"]:
                return JSONResponse({"kind": "APIGroup", "apiVersion": "v1", **group})
        return _refuse(ApiError(404, "NotFound", "no such group"))

    async def _openapi_root(self, _: Request) -> Response:
        paths = sorted({r.path for r in resources.RESOURCES})
        return JSONResponse(
            {"paths": {p.lstrip("/"): {"serverRelativeURL": f"/openapi/v3{p}"} for p in paths}}
        )

    async def _openapi(self, request: Request) -> Response:
        parts = str(request.path_params["path"]).split("/")
        group, version = ("", parts[1]) if parts[0] == "api" else (parts[1], parts[2])
        return JSONResponse(resources.openapi(group, version))

    # -- objects ------------------------------------------------------------------------

    async def _objects(self, request: Request) -> Response:
        try:
            return await self._dispatch(request)
        except ApiError as error:
            return _refuse(error)
        except (ValueError, yaml.YAMLError) as error:
            return _refuse(bad_request(f"the body cannot be read: {error}"))

    async def _dispatch(self, request: Request) -> Response:
        group, version = request.path_params.get("group", ""), request.path_params["version"]
        parts = str(request.path_params["path"]).strip("/").split("/")
        namespace = ""
        if parts[0] == "namespaces" and len(parts) > 2 and parts[2] not in ("status", "finalize"):
            namespace, parts = parts[1], parts[2:]
        resource = resources.BY_PLURAL.get((group, version, parts[0]))
        if resource is None:
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        name = parts[1] if len(parts) > 1 else ""
        subresource = parts[2] if len(parts) > 2 else ""
        if subresource == "log" and resource.kind == "Pod":
            return await self._pod_log(namespace, name, request)
        if subresource == "scale" and resource.scale:
            return await self._scale(request, resource, namespace, name)
        if subresource not in ("", "status") or (subresource == "status" and not resource.status):
            raise ApiError(404, "NotFound", f"no subresource {subresource}")
        if name:
            return await self._one(request, resource, namespace, name, subresource)
        return await self._many(request, resource, namespace)

    async def _one(
        self, request: Request, resource: Resource, namespace: str, name: str, subresource: str
    ) -> Response:
        dry = "All" in request.query_params.getlist("dryRun")
        if request.method == "GET":
            found = self.store.get(resource, namespace if resource.namespaced else "", name)
            return self._show(request, resource, found)
        if request.method == "PUT":
            body = await _body(request)
            if (body.get("metadata") or {}).get("name", name) != name:
                raise bad_request("the name of the object does not match the name on the URL")
            stored = self.store.update(resource, namespace, name, body, subresource=subresource,
                                       dry=dry)
            return JSONResponse(stored)
        if request.method == "PATCH":
            return await self._patch(request, resource, namespace, name, subresource, dry)
        if request.method == "DELETE":
            grace, orphan = await _deletion(request)
            return JSONResponse(self.store.delete(resource, namespace, name, grace=grace, orphan=orphan))
        raise ApiError(405, "MethodNotAllowed", "method not allowed on an object")

    async def _many(self, request: Request, resource: Resource, namespace: str) -> Response:
        if request.method == "POST":
            body = await _body(request)
            dry = "All" in request.query_params.getlist("dryRun")
            return JSONResponse(self.store.create(resource, namespace, body, dry), status_code=201)
        labels = label_selector(request.query_params.get("labelSelector", ""))
        fields = field_selector(request.query_params.get("fieldSelector", ""))

        def matches(obj: Object) -> bool:
            return labels(obj) and fields(obj)

        if request.method == "GET" and request.query_params.get("watch") in ("1", "true"):
            return self._watch(request, resource, namespace, matches)
        found = self.store.list(resource.kind, namespace, matches)
        if request.method == "DELETE":
            grace, orphan = await _deletion(request)
            for obj in found:
                self.store.delete(resource, namespace, obj["metadata"]["name"], grace=grace, orphan=orphan)
        elif request.method != "GET":
            raise ApiError(405, "MethodNotAllowed", "method not allowed on a list")
        version = str(self.store.version)
        if _wants_table(request):
            return JSONResponse(table(resource.kind, found, version))
        return JSONResponse({
            "kind": f"{resource.kind}List", "apiVersion": resource.api_version,
            "metadata": {"resourceVersion": version}, "items": found,
        })

    async def _patch(
        self, request: Request, resource: Resource, namespace: str, name: str, subresource: str,
        dry: bool,
    ) -> Response:
        kind = request.headers.get("content-type", "").split(";")[0]
        body = await _body(request)
        space = namespace if resource.namespaced else ""
        live = self.store.find(resource.kind, space, name)
        if kind in ("application/apply-patch+yaml", "application/apply-patch+json"):
            manager = request.query_params.get("fieldManager")
            if not manager:
                raise bad_request("fieldManager is required for apply patch")
            meta = body.setdefault("metadata", {})
            meta.setdefault("name", name)
            if resource.namespaced:
                meta.setdefault("namespace", namespace)
            if resource.kind == "Secret":
                encode_secret(body)
            force = request.query_params.get("force") == "true"
            merged = apply(live or {}, body, manager, force, now())
            if live is None:
                created = self.store.create(resource, namespace, merged, dry)
                return JSONResponse(created, status_code=201)
        elif live is None:
            raise not_found(resource.plural, name)
        elif kind == "application/merge-patch+json":
            merged = json_merge(live, body)
        elif kind == "application/strategic-merge-patch+json":
            merged = strategic_merge(live, body)
        else:
            raise ApiError(415, "UnsupportedMediaType", f"patches of type {kind!r} are not served")
        stored = self.store.update(resource, namespace, name, merged, subresource=subresource,
                                   dry=dry)
        return JSONResponse(stored)

    def _watch(self, request: Request, resource: Resource, namespace: str, matches: Any) -> Response:
        asked = request.query_params.get("resourceVersion", "")
        timeout = float(request.query_params.get("timeoutSeconds") or WATCH_SECONDS)
        as_table = _wants_table(request)

        def line(kind: str, obj: Object) -> bytes:
            if as_table and kind != "ERROR":
                obj = table(resource.kind, [obj], obj["metadata"]["resourceVersion"])
            return json.dumps({"type": kind, "object": obj}, separators=(",", ":")).encode() + b"\n"

        async def stream() -> AsyncIterator[bytes]:
            since = int(asked) if asked.isdigit() and asked != "0" else self.store.version
            if not asked.isdigit() or asked == "0":
                for obj in self.store.list(resource.kind, namespace, matches):
                    yield line("ADDED", obj)
            try:
                async for kind, obj in self.store.watch(
                    resource.kind, namespace, matches, since, timeout
                ):
                    yield line(kind, obj)
            except ApiError as error:
                yield line("ERROR", error.status())

        return StreamingResponse(stream(), media_type="application/json")

    async def _scale(
        self, request: Request, resource: Resource, namespace: str, name: str
    ) -> Response:
        live = self.store.get(resource, namespace, name)
        if request.method in ("PUT", "PATCH"):
            body = await _body(request)
            wanted = (body.get("spec") or {}).get("replicas")
            if not isinstance(wanted, int) or wanted < 0:
                raise bad_request("spec.replicas must be a whole number of at least 0")
            changed = {**live, "spec": {**live["spec"], "replicas": wanted}}
            live = self.store.update(resource, namespace, name, changed)
        meta = live["metadata"]
        return JSONResponse({
            "kind": "Scale", "apiVersion": "autoscaling/v1",
            "metadata": {k: meta[k] for k in ("name", "namespace", "uid", "resourceVersion",
                                              "creationTimestamp")},
            "spec": {"replicas": live["spec"]["replicas"]},
            "status": {"replicas": (live.get("status") or {}).get("replicas", 0)},
        })

    async def _pod_log(self, namespace: str, name: str, request: Request) -> Response:
        pod = self.store.get(resources.BY_KIND["Pod"], namespace, name)
        container = request.query_params.get("container") or pod["spec"]["containers"][0]["name"]
        url = (f"http://{self._site.own(KUBELET)}:{KUBELET.port}"
               f"/containerLogs/{namespace}/{name}/{container}")
        async with async_http_client(timeout=10, verify=False) as client:
            try:
                answer = await client.get(
                    url, params=dict(request.query_params),
                    headers={"authorization": f"Bearer {self._site.kube_token}"},
                )
            except httpx.HTTPError as error:
                raise ApiError(502, "BadGateway", f"the node does not answer: {error}") from error
        return PlainTextResponse(answer.text, status_code=answer.status_code)

    # -- around -------------------------------------------------------------------------

    def _show(self, request: Request, resource: Resource, obj: Object) -> Response:
        if _wants_table(request):
            return JSONResponse(table(resource.kind, [obj], obj["metadata"]["resourceVersion"]))
        return JSONResponse(obj)

    def _guarded(self, inner: ASGIApp) -> ASGIApp:
        """Check the token, which tells who calls, and write the access log."""
        tokens = self._site.kube_tokens

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan" or scope["path"] in ("/healthz", "/readyz"):
                await inner(scope, receive, send)
                return
            started, status = time.time(), 0

            async def noting(message: Any) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            offered = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
            scheme, _, token = offered.partition(" ")
            who = principal(token, tokens) if scheme == "Bearer" else None
            try:
                if who is not None:
                    await inner(scope, receive, noting)
                else:
                    await _refuse(ApiError(401, "Unauthorized", "Unauthorized"))(
                        scope, receive, noting)
            finally:
                caller = scope["client"][0] if scope.get("client") else ""
                named = {"who": who} if who else {}
                self._access.write(json.dumps({
                    "t": started, "caller": caller, **named, "service": "kubernetes",
                    "action": f"{scope['method']} {scope['path']}", "status": str(status),
                }) + "\n")
                self._access.flush()

        return guarded


def _wants_table(request: Request) -> bool:
    return "as=Table" in request.headers.get("accept", "")


def _refuse(error: ApiError) -> Response:
    return JSONResponse(error.status(), status_code=error.code)


async def _deletion(request: Request) -> tuple[int | None, bool]:
    """What a DELETE asks for, in its body or its query: the grace period, and whether to orphan."""
    asked = {**request.query_params, **await _body(request, optional=True)}
    grace = asked.get("gracePeriodSeconds")
    if grace is not None and int(grace) < 0:
        raise bad_request("gracePeriodSeconds must be at least 0")
    return None if grace is None else int(grace), asked.get("propagationPolicy") == "Orphan"


async def _body(request: Request, optional: bool = False) -> Object:
    raw = await request.body()
    if not raw:
        if optional:
            return {}
        raise bad_request("the request has no body")
    kind = request.headers.get("content-type", "application/json")
    found = yaml.safe_load(raw) if "yaml" in kind else json.loads(raw)
    if not isinstance(found, dict):
        raise bad_request("the body is not an object")
    return found


def main() -> None:
    """Serve the region whose configuration file is the only argument."""
    site = SiteConfig.load(sys.argv[1])
    api = KubernetesApi(site)
    uvicorn.Server(server_config(
        api.app(), site.own(KUBERNETES), KUBERNETES.port, ssl_certfile=str(site.path / "kube.crt"),
        ssl_keyfile=str(site.path / "kube.key"), timeout_keep_alive=60)).run(
            [listen(site.own(KUBERNETES), KUBERNETES.port)])


if __name__ == "__main__":
    main()
