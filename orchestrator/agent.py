"""The agent of one region: ``python -m orchestrator.agent`` runs its curated set (:mod:`curated`).

One pod, because on a standby every pod counts. A plugin that fails keeps no other from its turn. It is ready
once it has been told what its region is to be: until then a node that comes back starts nothing else.
"""

from __future__ import annotations

import base64
import os
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from loadgen.wire.http import http_client
from loadgen.wire.listening import listen
from loadgen.wire.threads import BoundedThreads
from orchestrator.curated import CURATED, Surroundings
from orchestrator.facts import Sources
from orchestrator.kubernetes_region import KubernetesRegion
from orchestrator.region_view import Duty, RegionView

TURN_S = 2.0
READY_PORT = 8081
PROBE_S = 5.0
"""How long one read from a probe may take."""


def surroundings(env: Mapping[str, str]) -> Surroundings:
    """The region, from the agent's environment variables."""
    ca = Path("ca.crt")
    ca.write_bytes(base64.b64decode(env["KUBE_CA"]))
    sources = Sources(env["AGENT_REGION"], env["AWS_ENDPOINT"], env["AWS_ACCESS_KEY_ID"],
                      env["AWS_SECRET_ACCESS_KEY"], env["GLOBAL_CLUSTER"], env["DB_CLUSTER"])
    return Surroundings(
        view=RegionView(),
        control=http_client(base_url=env["CONTROL_URL"], timeout=5,
                             headers={"authorization": f"Bearer {env['CONTROL_TOKEN']}"}),
        kube=KubernetesRegion.at(env["KUBE_SERVER"], env["KUBE_TOKEN"], str(ca)), sources=sources,
        iam=sources.client("iam", env["GLOBAL_AWS_ENDPOINT"]),
        orders_bucket=env["ORDERS_BUCKET"], cluster=env["CLUSTER_ID"],
        rpo_bound=float(env.get("RPO_BOUND") or "0") or None)


def turns(duties: Mapping[str, Duty], view: RegionView) -> None:
    """One turn of each plugin, in the order of their declaration."""
    for name, duty in duties.items():
        try:
            duty.turn()
            view.failing.pop(name, None)
        except Exception as error:
            print(f"{name} failed, trying again: {error!r}", flush=True)
            view.failing[name] = repr(error)


def serve_readiness(view: RegionView, host: str, port: int = READY_PORT) -> HTTPServer:
    """Answer readiness probes in the background.

    Raises:
        OSError: when the address is taken.
    """

    class Server(BoundedThreads, HTTPServer):
        pass

    class Readiness(BaseHTTPRequestHandler):
        timeout = PROBE_S

        def do_GET(self) -> None:
            self.send_response(200 if view.told else 503)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """A probe every second is nothing to log."""

    server = Server((host, port), Readiness, bind_and_activate=False)
    server.socket.close()
    server.socket = listen(host, port)
    server.server_address = server.socket.getsockname()
    threading.Thread(target=server.serve_forever, name="readiness", daemon=True).start()
    return server


def main() -> None:
    """Take turns for ever."""
    around = surroundings(os.environ)
    serve_readiness(around.view, os.environ["POD_IP"])
    duties = {plugin.name: plugin.duty(around) for plugin in CURATED if plugin.duty is not None}
    while True:
        turns(duties, around.view)
        time.sleep(TURN_S)


if __name__ == "__main__":
    main()
