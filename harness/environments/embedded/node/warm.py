"""Warm Airflow up before the fork, so that no pod has to.

Importing Airflow is only the beginning: a fresh scheduler or API server also spends seconds of CPU
on building its web applications, compiling its SQL statements and configuring its mappers, once a
process. With a fleet on two cores that *is* the start-up time. So the process that pods are forked
from does all of it once, against a throwaway PostgreSQL of its own: it serves one request through
each API route that pods use, and runs a Dag from trigger to success through Airflow's own scheduler
loop and task execution API. What is warm is then shared by every child, copy-on-write.

The database engine is shared too, for its cache of compiled statements; a child points it at its
own database (:func:`connect_to`) before the first connection.

Keys are not shared. The warm process has random ones of its own, forgets them before the first fork
(:func:`_forget_keys`), and refuses to be forked while anything in it still holds one: a pod signs and decrypts
with its own Deployment's or not at all.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import os
import secrets
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any, cast

from cryptography.fernet import Fernet
from sqlalchemy.engine import make_url

from harness.environments.embedded.addresses import Service
from harness.environments.embedded.postgres import DIRECTORY, Mode, PostgresMember
from harness.environments.embedded.private import write_private
from harness.environments.embedded.site import SiteConfig
from loadgen.wire.aws import aws_client
from loadgen.wire.http import async_http_client

WARM_POSTGRES = Service("warm-postgres", 20, 5432)
WARM_SETTINGS = {
    "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": "s3://replaced-in-every-pod/logs",
    # Nobody listens there: what is read while warming up is an error message.
    "AIRFLOW_CONN_AWS_DEFAULT": "aws://x:x@/?region_name=us-east-1&endpoint_url=http%3A%2F%2F127.0.0.1%3A9",
    "AWS_MAX_ATTEMPTS": "1",
}
"""What every pod has of its own, beside :func:`random_keys`. All else comes from the platform (``node/image.json``), because
Airflow reads part of its settings while it is imported, and that happens here."""
KEYS = ("AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__API__SECRET_KEY", "AIRFLOW__CORE__FERNET_KEY")
"""Airflow's keys, as variables: what it signs tokens with, what it signs links with, what it encrypts with."""
STORED = {
    "/api/v2/variables": {"key": "warm", "value": "warm"},
    "/api/v2/connections": {"connection_id": "warm", "conn_type": "postgres", "password": "warm"},
    "/api/v2/pools": {"name": "warm", "slots": 1, "description": "warm"}}
"""What is stored while warming up, because reading it (and decrypting it) is what pods will do."""
WARM_DAGS = ("chain", "canary")
_target: dict[str, Any] = {}


def warm_up(site: SiteConfig) -> None:
    """Do all of it. Afterwards this process has one thread and no connection.

    Raises:
        RuntimeError: when a thread is left, or a key: forking would not be safe.
    """
    home = site.path / "node" / "airflow-home"
    home.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    postgres = _throwaway_postgres(site)
    postgres.initialise()
    postgres.start(Mode.WRITER)
    try:
        password = secrets.token_urlsafe(16)
        _configure(postgres.password, home, site, password)
        _exercise(password)
        _let_go()
    finally:
        postgres.stop(immediate=True)
        shutil.rmtree(postgres.directory, ignore_errors=True)
    left = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if left:
        raise RuntimeError(f"the warm process must have one thread to be forked safely: {left}")
    gc.collect()
    if holders := key_holders():
        raise RuntimeError(f"the warm process must have no key when it is forked; it is kept by: {holders}")
    gc.freeze()
    cpu = time.process_time()
    print(f"warm after {time.monotonic() - began:.1f} s, {cpu:.1f} s of CPU", flush=True)


def connect_to(sync_url: str, async_url: str) -> None:
    """Point the shared engines at a pod's own database (in the child, before it connects)."""
    from airflow import settings

    for kind, url in (("sync", sync_url), ("async", async_url)):
        parsed = make_url(url)
        _target[kind] = {
            "host": parsed.host, "port": parsed.port or 5432, "user": parsed.username,
            "password": parsed.password, "database": parsed.database,
        }
    settings.SQL_ALCHEMY_CONN, settings.SQL_ALCHEMY_CONN_ASYNC = sync_url, async_url
    assert settings.engine is not None and settings.async_engine is not None
    settings.engine.dispose(close=False)
    settings.async_engine.sync_engine.dispose(close=False)


def random_keys() -> dict[str, str]:
    """Keys that nobody else has: what a container without keys in its settings makes for itself."""
    jwt, secret, fernet = KEYS
    return {jwt: secrets.token_hex(32), secret: secrets.token_hex(16), fernet: Fernet.generate_key().decode()}


def key_holders() -> list[str]:
    """What in this process still signs, verifies or encrypts with a key (the names of their types)."""
    from airflow.api_fastapi.auth.tokens import JWTGenerator, JWTValidator
    from cryptography.fernet import MultiFernet
    from itsdangerous.serializer import Serializer
    from itsdangerous.signer import Signer

    kinds = (JWTGenerator, JWTValidator, Fernet, MultiFernet, Serializer, Signer)
    # By type, not by isinstance: that would ask every lazy proxy in the process what it is.
    return sorted({type(held).__name__ for held in gc.get_objects() if issubclass(type(held), kinds)})


def _throwaway_postgres(site: SiteConfig) -> PostgresMember:
    return PostgresMember(
        site.path / DIRECTORY, host=site.own(WARM_POSTGRES), port=WARM_POSTGRES.port,
        password=site.postgres_password, replication_password=secrets.token_urlsafe(16), source_host="127.0.0.1")


def _configure(database_password: str, home: Path, site: SiteConfig, password: str) -> None:
    url = f"//postgres:{database_password}@{site.own(WARM_POSTGRES)}:{WARM_POSTGRES.port}/postgres"
    passwords = home / "passwords.json"
    write_private(passwords, json.dumps({"admin": password}))
    os.environ.update(json.loads((site.path / "node" / "image.json").read_text()))
    os.environ.update(
        WARM_SETTINGS, **random_keys(), AIRFLOW_HOME=str(home),
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"postgresql+psycopg2:{url}",
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC=f"postgresql+asyncpg:{url}",
        AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE=str(passwords))


def _exercise(password: str) -> None:
    """Run each code path that a pod will need, once; ``password``: of its administrator."""
    from airflow import settings
    from airflow.api_fastapi.app import cached_app
    from airflow.models import import_all_models
    from airflow.models.base import Base
    from airflow.utils.db import add_default_pool_if_not_exists, synchronize_log_template

    from loadgen import executor

    _share_models()
    import_all_models()
    _redirect(settings)
    assert settings.engine is not None
    Base.metadata.create_all(settings.engine)
    add_default_pool_if_not_exists()
    synchronize_log_template()
    _store_dags()
    app = cached_app(apps="core")
    executor.WARMING = True
    asyncio.run(_api_requests(app, password))
    _schedule(rounds=4)
    asyncio.run(_run_tasks())
    _schedule(rounds=3)
    asyncio.run(_api_requests(app, password))
    asyncio.run(_read_log(app, password))
    executor.WARMING = False
    aws_client("s3", endpoint="http://127.0.0.1:9", region="us-east-1", access_key="x", secret_key="x",
               connect=1, read=1)
    forget_keys(app)


def _share_models() -> None:
    """One loader of AWS's service models for all of botocore's sessions.

    Each session has a loader of its own otherwise, and with it a copy of S3's model: a copy in every pod,
    made anew, where one can be shared across the fork. What is loaded is the same.
    """
    import botocore.session

    session: Any = botocore.session
    session.create_loader = functools.cache(session.create_loader)


def _redirect(settings: Any) -> None:
    """Let every new connection of the two engines go where :func:`connect_to` says."""
    from sqlalchemy import event

    def to_pod(_: Any, __: Any, arguments: Any, parameters: dict[str, Any]) -> None:
        if "sync" in _target:
            wanted = dict(_target["sync"])
            wanted["dbname"] = wanted.pop("database")
            parameters.pop("database", None)
            parameters.update(wanted, connect_timeout=3)

    def to_pod_async(_: Any, __: Any, arguments: Any, parameters: dict[str, Any]) -> None:
        parameters.update(_target.get("async", {}))

    event.listen(settings.engine, "do_connect", to_pod)
    event.listen(settings.async_engine.sync_engine, "do_connect", to_pod_async)


def _store_dags() -> None:
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
    from airflow.utils.session import create_session

    manager = DagBundlesManager()
    with create_session() as session:
        manager.sync_bundles_to_db(session=session)
        session.commit()
        for bundle in manager.get_all_dag_bundles():
            bundle.initialize()
            bag = BundleDagBag(bundle.path, bundle_path=bundle.path, bundle_name=bundle.name)
            sync_bag_to_db(bag, bundle.name, bundle_version=bundle.get_current_version(), session=session)


async def _api_requests(app: Any, password: str) -> None:
    """One request through each route that probes, users and drills use."""
    import httpx

    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with async_http_client(transport=transport, base_url="http://warm") as client:
            login = await client.post("/auth/token", json={"username": "admin", "password": password})
            client.headers["authorization"] = f"Bearer {login.json()['access_token']}"
            for path, body in STORED.items():
                answer = await client.post(path, json=body)
                if answer.status_code != 409:  # it is there from the first time
                    answer.raise_for_status()
            for path in ("/api/v2/version", "/api/v2/monitor/health", "/api/v2/variables",
                         "/api/v2/connections", "/api/v2/variables/warm", "/api/v2/connections/warm",
                         "/api/v2/pools/warm",
                         "/api/v2/dags/canary/dagRuns/~/taskInstances?state=success"
                         "&order_by=start_date&limit=1",
                         "/api/v2/dagStats", "/api/v2/dagStats?dag_ids=canary",
                         "/api/v2/dags/canary/dagRuns/~/taskInstances?state=success"
                         "&order_by=-start_date&limit=1"):
                (await client.get(path)).raise_for_status()
            paused = await client.patch("/api/v2/dags/canary", json={"is_paused": False})
            paused.raise_for_status()
            for dag in WARM_DAGS:
                answer = await client.post(f"/api/v2/dags/{dag}/dagRuns", json={"logical_date": None})
                answer.raise_for_status()


async def _read_log(app: Any, password: str) -> None:
    """Read a task's log: that takes boto3's models of S3 with it, 60 MB that every pod would have alone."""
    import httpx
    from airflow.logging_config import get_remote_task_log

    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with async_http_client(transport=transport, base_url="http://warm", timeout=60) as client:
            login = await client.post("/auth/token", json={"username": "admin", "password": password})
            client.headers["authorization"] = f"Bearer {login.json()['access_token']}"
            found = (await client.get("/api/v2/dags/canary/dagRuns/~/taskInstances?limit=1")).json()
            for ti in found["task_instances"]:
                answer = await client.get(
                    f"/api/v2/dags/canary/dagRuns/{ti['dag_run_id']}/taskInstances/{ti['task_id']}/logs/1",
                    params={"full_content": True})
                if answer.status_code not in (200, 500):  # 500: nobody listens where S3 should be
                    answer.raise_for_status()
    # Its connection to S3 was nobody's; a pod makes its own.
    del cast(Any, get_remote_task_log()).hook
    del os.environ["AWS_MAX_ATTEMPTS"]


def _schedule(rounds: int) -> None:
    from airflow.jobs.job import Job, run_job
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner

    job = Job()
    runner = SchedulerJobRunner(job=job, num_runs=rounds, scheduler_idle_sleep_time=0)
    run_job(job=job, execute_callable=runner._execute)


async def _run_tasks() -> None:
    """Walk the task instances that the scheduler has queued through the task execution API."""
    import httpx
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from airflow.utils.state import TaskInstanceState
    from sqlalchemy import select

    from loadgen import executor

    with create_session() as session:
        queued = session.execute(
            select(TaskInstance.id, TaskInstance.dag_id, TaskInstance.run_id, TaskInstance.task_id)
            .where(TaskInstance.state == TaskInstanceState.QUEUED)).all()
    if not queued:
        raise RuntimeError("the warm-up Dag runs were not scheduled")
    app = executor.EXECUTION_API.app
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with async_http_client(transport=transport, base_url="http://warm") as client:
            for identifier, dag, run, task in queued:
                for method, path, body in executor.life_of(str(identifier), dag, run, task):
                    (await client.request(method, path, json=body)).raise_for_status()


def forget_keys(app: Any) -> None:
    """Drop all that Airflow has made of this process's keys and keeps: a pod makes its own, of its own keys.

    ``app``: the API server's application, which has no key either until :func:`give_key`.
    """
    from airflow.api_fastapi.auth.managers.base_auth_manager import BaseAuthManager
    from airflow.api_fastapi.core_api.datamodels import dags
    from airflow.models import crypto

    manager: Any = BaseAuthManager
    for kept in (manager._get_token_signer, manager._get_token_validator, dags._get_file_token_serializer,
                 crypto.get_fernet):
        kept.cache_clear()
    del app.state.secret_key
    for name in KEYS:
        os.environ.pop(name, None)


def give_key(app: Any) -> None:
    """Give the API server's application the key that it signs links with, as it is configured now."""
    from airflow.api_fastapi.auth.tokens import get_signing_key

    app.state.secret_key = get_signing_key("api", "secret_key")


def _let_go() -> None:
    """Close what may not cross a fork."""
    from airflow import settings

    assert settings.engine is not None and settings.async_engine is not None
    settings.Session.remove()
    settings.engine.dispose()
    settings.async_engine.sync_engine.dispose(close=False)
    sys.stdout.flush()
