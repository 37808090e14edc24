"""Airflow's settings in every Deployment, in one place: those of a managed platform.

They decide how fast Airflow itself notices that a scheduler or a task is gone, so they are part
of every RTO and every count of retries; a report prints them.

``python -m orchestrator.airflow_settings`` prints them as JSON: whoever builds the image that Airflow
runs from needs them too, because Airflow reads some of them while it is imported.
"""

from __future__ import annotations

import json

AIRFLOW_SETTINGS: dict[str, str] = {
    "AIRFLOW__CORE__EXECUTOR": "loadgen.executor.SyntheticExecutor",
    "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST":
        '[{"name": "image", "classpath": "loadgen.bundle.ImageBundle", "kwargs": {}}]',
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    "AIRFLOW__CORE__PARALLELISM": "64",
    "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "64",
    "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "3600",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
    # The scheduler and its tasks use two at once; each that is not kept costs a login, which at 80
    # Deployments adds up to half a core.
    "AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_SIZE": "2",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_MAX_OVERFLOW": "4",
    # A database that is gone must be noticed: without these a client waits for a dead
    # connection's answer for as long as TCP retransmits (15 minutes).
    "AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_PRE_PING": "True",
    # A scheduler whose heartbeat is older than the threshold is dead; its task instances are
    # reset at the next check (Airflow's defaults: 30 and 300 seconds).
    "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "30",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
    # A running task that stops heartbeating is failed after the time-out, then retried if its
    # ``retries`` allow (Airflow's default: 300 seconds).
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "300",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "10",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "2",
    "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
    "AIRFLOW__SCHEDULER__PARSING_CLEANUP_INTERVAL": "86400",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
    "AIRFLOW__LOGGING__REMOTE_LOGGING": "True",
    "AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID": "aws_default",
    "AIRFLOW__API__ENABLE_SWAGGER_UI": "False",
    "AIRFLOW__API__PORT": "8080",
    "AIRFLOW__METRICS__STATSD_ON": "False",
    "AIRFLOW__METRICS__LEGACY_NAMES_ON": "False",
}

if __name__ == "__main__":
    print(json.dumps(AIRFLOW_SETTINGS))
