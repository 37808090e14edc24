"""What a forked child does to be a container of an Airflow Deployment.

The warm process was configured for nobody. Here the child takes on its own Deployment's
configuration (Airflow reads ``AIRFLOW__*`` variables afresh, apart from the few values cached at
import, which are set again below) and then runs what the ``airflow`` command would run.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

API_THREADS = 4


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
    from airflow.models import crypto

    from harness.environments.embedded.node.warm import connect_to

    random.seed()
    home = Path.cwd()
    if password := os.environ.get("DR_DRILL_ADMIN_PASSWORD"):
        import json

        passwords = home / "passwords.json"
        passwords.touch(mode=0o600)
        passwords.write_text(json.dumps({"admin": password}))
        os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"] = str(passwords)
    connect_to(conf.get("database", "sql_alchemy_conn"),
               conf.get("database", "sql_alchemy_conn_async"))
    crypto.get_fernet.cache_clear()
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

    class CalmServer(uvicorn.Server):
        """Made for a fleet on two cores.

        It looks once a second, not ten times, whether it should stop, and has few worker threads: each
        of them would hold memory and a database connection.
        """

        async def main_loop(self) -> None:
            current_default_thread_limiter().total_tokens = API_THREADS
            while not await self.on_tick(0):
                await asyncio.sleep(1.0)

    CalmServer(uvicorn.Config(
        cached_app(apps="core"), host=os.environ["POD_IP"],
        port=int(os.environ.get("AIRFLOW__API__PORT", "8080")), log_level="warning",
        access_log=False, log_config=None, timeout_keep_alive=30, timeout_graceful_shutdown=2,
    )).run()
    return 0
