"""Which environment variables a drill may set in every Deployment (``fleet.environment``), and why not the others.

What tunes Airflow may be set. What decides where the fleet's processes find their programs, their secrets, their
database and their endpoints is the platform's: a drill that could set it would run another system than it reports,
or a program of the file's author as the harness's user.
"""

from __future__ import annotations

import math
import re

NAME_MOST, VALUE_MOST = 128, 4096
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
_SECONDS = {"DR_DRILL_HANDOVER_SECONDS", "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL"}
"""Variables that the task executor reads as a number when it starts."""

_PLATFORM = "the platform sets it for each Deployment"
_RUNS = "it decides what program or library a process runs"
_REFUSED: tuple[tuple[re.Pattern[str], str], ...] = tuple((re.compile(pattern), why) for pattern, why in (
    (r"PATH|HOME|SHELL|USER|LOGNAME|TMPDIR|TMP|TEMP|PWD|IFS|ENV|BASH_ENV|VIRTUAL_ENV|GCONV_PATH|LOCPATH"
     r"|LD_.*|DYLD_.*|PYTHON.*|MALLOC_.*|GLIBC_.*|UV_.*|PIP_.*|OPENSSL_.*|SSL_.*|SSLKEYLOGFILE", _RUNS),
    (r"(HTTP|HTTPS|ALL|NO|FTP)_PROXY|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE",
     "it would lead the fleet's requests past the links that a drill cuts"),
    (r"DR_DRILL_(?!HANDOVER_SECONDS$).*|LEDGER_.*|ADMIN_.*|PROVISION_.*", "it is the harness's own"),
    (r"AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|SECURITY_TOKEN|DEFAULT_REGION|REGION|PROFILE|DEFAULT_PROFILE"
     r"|CONFIG_FILE|SHARED_CREDENTIALS_FILE|CREDENTIAL_FILE|CA_BUNDLE|ROLE_ARN|WEB_IDENTITY_TOKEN_FILE|DATA_PATH"
     r"|ENDPOINT.*|CONTAINER_.*|EC2_.*|USE_.*_ENDPOINT)|BOTO_CONFIG", _PLATFORM),
    (r"PG[A-Z]+|KUBERNETES_.*|KUBECONFIG", _PLATFORM),
    (r"AIRFLOW_(HOME|CONFIG|CONN_AWS_DEFAULT)", _PLATFORM),
    (r"AIRFLOW__CORE__(EXECUTOR|PLUGINS_FOLDER|DAGS_FOLDER|AUTH_MANAGER|SIMPLE_AUTH_MANAGER_.*"
     r"|INTERNAL_API_.*|EXECUTION_API_SERVER_URL)", _PLATFORM),
    (r"AIRFLOW__CORE__FERNET_KEY|AIRFLOW__API__SECRET_KEY|AIRFLOW__API_AUTH__.*|AIRFLOW__WEBSERVER__SECRET_KEY"
     r"|AIRFLOW__SECRETS__.*", "it is a secret of the Deployment's own, or where Airflow finds its secrets"),
    (r"AIRFLOW__.*_(CMD|SECRET)", "Airflow would run a command or ask a secrets backend for the value"),
    (r"AIRFLOW__DATABASE__SQL_ALCHEMY_(CONN|CONN_ASYNC|CONNECT_ARGS|SCHEMA)", _PLATFORM),
    (r"AIRFLOW__DATABASE__(CHECK_MIGRATIONS|EXTERNAL_DB_MANAGERS)", _PLATFORM),
    (r"AIRFLOW__API__(HOST|PORT|BASE_URL|SSL_CERT|SSL_KEY)", _PLATFORM),
    (r"AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_.*", "the load's Dags come by it"),
    (r"AIRFLOW__LOGGING__(REMOTE_.*|LOGGING_CONFIG_CLASS|BASE_LOG_FOLDER)",
     "the task logs that a drill follows go where it says"),
))


def fault_of(name: str, value: str) -> str | None:
    """Why a drill may not set a variable to a value, and what to do; None when it may."""
    if not _VARIABLE.fullmatch(name) or len(name) > NAME_MOST:
        return f"is not a variable's name: capitals, digits and '_', at most {NAME_MOST} characters"
    if (why := next((why for pattern, why in _REFUSED if pattern.fullmatch(name)), None)) is not None:
        return f"may not be set by a drill: {why}; leave it out"
    if len(value) > VALUE_MOST:
        return f"is set to {len(value)} characters; at most {VALUE_MOST}"
    if "\x00" in value:
        return "holds a NUL, which no variable can"
    if name in _SECONDS and not _is_seconds(value):
        return f"must be a number of seconds from 0 to 3600, such as \"5\", not {value[:40]!r}"
    return None


def _is_seconds(value: str) -> bool:
    try:
        seconds = float(value)
    except ValueError:
        return False
    return math.isfinite(seconds) and 0 <= seconds <= 3600
