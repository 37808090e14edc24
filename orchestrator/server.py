"""The orchestrator as a server: ``python -m orchestrator.server CONFIG``."""

from __future__ import annotations

import os
import socket
import sqlite3
import sys

import structlog
import uvicorn
from dbos import DBOS, DBOSConfig

from loadgen.wire.asgi import server_config
from loadgen.wire.listening import listen
from orchestrator import changes, creation
from orchestrator.api import build
from orchestrator.config import InvalidConfig, OrchestratorConfig
from orchestrator.durable import Context
from orchestrator.store import Cluster, Store

BAD_INPUT, BROKEN = 2, 4
"""Exit codes, as everywhere in this product."""
PRIVATE = 0o077
"""The umask: what is in the stores and journals is secret, and DBOS makes a file of its own."""


def main() -> None:
    """Serve the configuration file given as the only argument; unfinished work is resumed."""
    os.umask(PRIVATE)
    try:
        config = OrchestratorConfig.load(sys.argv[1])
    except InvalidConfig as error:
        print(error, file=sys.stderr)
        sys.exit(BAD_INPUT)
    structlog.configure(processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.TimeStamper(fmt="iso"), structlog.processors.add_log_level,
        structlog.processors.JSONRenderer()])
    store = _store(config)
    if store.get(Cluster, config.cluster_id) is None:
        store.put(Cluster(
            id=config.cluster_id, name=config.cluster_name, region=config.primary.name,
            drRegion=config.secondary.name, activeRegion=config.primary.name,
            writer=config.primary.name,
            workloads={config.primary.name: True, config.secondary.name: False},
        ), config.cluster_id)
    Context.set(config, store)
    settings: DBOSConfig = {
        "name": "dr-orchestrator", "log_level": "WARNING", "executor_id": "orchestrator",
        "application_version": "1",
        "system_database_url": f"sqlite:///{config.store.with_name('workflows.sqlite')}",
    }
    DBOS(config=settings)
    DBOS.launch()
    DBOS.register_queue(creation.CREATIONS, worker_concurrency=creation.CREATIONS_AT_ONCE,
                        polling_interval_sec=0.5)
    changes.resume(store)
    try:
        server = uvicorn.Server(server_config(build(config, store), config.host, config.port, timeout_keep_alive=30))
        server.run([_listener(config)])
    except KeyboardInterrupt:
        pass
    finally:
        DBOS.destroy()


def _store(config: OrchestratorConfig) -> Store:
    """The store; the process ends where there can be none."""
    try:
        return Store(config.store)
    except (OSError, ValueError, sqlite3.Error) as error:
        print(f"the store {config.store} cannot be used: {error}", file=sys.stderr)
        sys.exit(BROKEN)


def _listener(config: OrchestratorConfig) -> socket.socket:
    """The socket on which to serve; the process ends where there can be none."""
    try:
        return listen(config.host, config.port)
    except OSError as error:
        print(f"cannot listen on {config.host}:{config.port}: {error}", file=sys.stderr)
        sys.exit(BROKEN)


if __name__ == "__main__":
    main()
