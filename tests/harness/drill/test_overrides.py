"""Which variables a drill may set in its Deployments."""

from __future__ import annotations

import pytest

from harness.drill.overrides import fault_of


@pytest.mark.parametrize(("name", "value"), [
    ("AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC", "20"), ("AIRFLOW__CORE__PARALLELISM", "64"), ("LICENCE_KEY", "x"),
    ("AIRFLOW_CONN_WAREHOUSE", "postgres://u:p@h/d"), ("AIRFLOW_VAR_X", ""), ("DR_DRILL_HANDOVER_SECONDS", "2.5"),
    ("AWS_MAX_ATTEMPTS", "3"), ("AWS_RETRY_MODE", "standard"), ("TZ", "UTC")])
def test_what_tunes_airflow_may_be_set(name: str, value: str) -> None:
    assert fault_of(name, value) is None


@pytest.mark.parametrize("name", [
    "PATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONINSPECT", "BASH_ENV", "HOME",
    "HTTP_PROXY", "NO_PROXY", "AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_CONFIG_FILE", "PGHOST", "PGSERVICEFILE",
    "KUBECONFIG", "SSL_CERT_FILE", "SSLKEYLOGFILE", "AIRFLOW_HOME", "AIRFLOW_CONFIG", "AIRFLOW_CONN_AWS_DEFAULT",
    "AIRFLOW__CORE__EXECUTOR", "AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__CORE__FERNET_KEY_CMD", "AIRFLOW__API_AUTH__JWT_SECRET",
    "AIRFLOW__API__SECRET_KEY", "AIRFLOW__SMTP__SMTP_PASSWORD_CMD", "AIRFLOW__SMTP__SMTP_PASSWORD_SECRET",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC", "AIRFLOW__CORE__PLUGINS_FOLDER",
    "AIRFLOW__SECRETS__BACKEND", "AIRFLOW__LOGGING__REMOTE_LOGGING", "AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS",
    "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", "DR_DRILL_WITNESS_TOKEN", "DR_DRILL_OWNER", "LEDGER_PASSWORD"])
def test_what_says_where_programs_secrets_and_endpoints_are_may_not(name: str) -> None:
    assert "may not be set by a drill" in str(fault_of(name, "x"))


@pytest.mark.parametrize("name", ["", "a", "A B", "A=B", "1A", "\u00c4", "A\n", "A" * 129, "_A"])
def test_what_is_no_name_is_none(name: str) -> None:
    assert "is not a variable's name" in str(fault_of(name, "x"))


@pytest.mark.parametrize(("name", "value", "said"), [
    ("A", "x" * 4097, "is set to 4097 characters; at most 4096"), ("A", "x\x00y", "holds a NUL"),
    ("DR_DRILL_HANDOVER_SECONDS", "soon", "must be a number of seconds from 0 to 3600"),
    ("DR_DRILL_HANDOVER_SECONDS", "nan", "must be a number of seconds"),
    ("AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL", "-1", "must be a number of seconds")])
def test_a_value_that_cannot_be_is_refused(name: str, value: str, said: str) -> None:
    assert said in str(fault_of(name, value))
