"""What a forked child does to be a container of an Airflow Deployment.

The warm process was configured for nobody. Here the child takes on its own Deployment's
configuration (Airflow reads ``AIRFLOW__*`` variables afresh, apart from the few values cached at
import, which are set again below) and then runs what the ``airflow`` command would run.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from pathlib import Path

from harness.environments.embedded.private import write_private
from loadgen.wire.asgi import BodyLimit, server_config
from loadgen.wire.listening import listen

API_THREADS = 4
BODY_MOST = 16 * 1024 * 1024
"""Bytes of a request. Airflow reads the body of a login before it knows anybody."""


def run(argv: list[str]) -> int:
    """Run a container's command in this process; its exit status.

    ``airflow scheduler`` and ``airflow api-server`` start at once; any other ``airflow``
    command goes through Airflow's own command line, any ``python -m`` through runpy.
    """
    take_configuration()
    if argv[:2] == ["airflow", "scheduler"]:
        return scheduler()
    if argv[:2] == ["airflow", "api-server"]:
        return api_server()
    if argv[0] == "airflow":
        from airflow.__main__ import main

        sys.argv = argv
        main()
        return 0
    from harness.environments.embedded.node.zygote import run_module

    return run_module(argv)


def take_configuration() -> None:
    """Replace what Airflow cached at import by this pod's own settings."""
    from airflow.configuration import conf
    from airflow.logging_config import get_remote_task_log

    from harness.environments.embedded.node.warm import connect_to, random_keys

    random.seed()
    home = Path.cwd()
    # A container that is given no key makes one, as Airflow does at the first start; the image's file has one too,
    # which would be the same in all of them.
    for name, key in random_keys().items():
        os.environ.setdefault(name, key)
    if password := os.environ.get("DR_DRILL_ADMIN_PASSWORD"):
        passwords = home / "passwords.json"
        write_private(passwords, json.dumps({"admin": password}))
        os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"] = str(passwords)
    connect_to(conf.get("database", "sql_alchemy_conn"),
               conf.get("database", "sql_alchemy_conn_async"))
    conf.mask_secrets()  # in logs; at import, these were the image's
    remote = get_remote_task_log()
    if remote is not None:
        remote.remote_base = conf.get("logging", "remote_base_log_folder")
        remote.base_log_folder = home / "logs"


def scheduler() -> int:
    """``airflow scheduler``."""
    from airflow.configuration import conf
    from airflow.jobs.job import Job, run_job
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner

    job = Job()
    # Its default was read when the class was imported, in the warm process.
    idle = conf.getfloat("scheduler", "scheduler_idle_sleep_time")
    runner = SchedulerJobRunner(job=job, scheduler_idle_sleep_time=idle)
    run_job(job=job, execute_callable=runner._execute)
    return 0


def api_server() -> int:
    """``airflow api-server`` with one worker, on the pod's address."""
    import uvicorn
    from airflow.api_fastapi.app import cached_app
    from anyio.to_thread import current_default_thread_limiter

    from harness.environments.embedded.node.warm import give_key

    class CalmServer(uvicorn.Server):
        """Made for a fleet on two cores.

        It looks once a second, not ten times, whether it should stop, and has few worker threads: each
        of them would hold memory and a database connection.
        """

        async def main_loop(self) -> None:
            current_default_thread_limiter().total_tokens = API_THREADS
            while not await self.on_tick(0):
                await asyncio.sleep(1.0)

    app = cached_app(apps="core")
    give_key(app)
    host, port = os.environ["POD_IP"], int(os.environ.get("AIRFLOW__API__PORT", "8080"))
    CalmServer(server_config(
        BodyLimit(app, BODY_MOST), host, port, log_config=None, timeout_keep_alive=30,
        timeout_graceful_shutdown=2)).run([listen(host, port)])
    return 0
