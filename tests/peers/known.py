"""The secrets of a running environment, by name: what must be found nowhere but in its own private files."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

from kubernetes import client as kubernetes_client
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException, new_client_from_config
from urllib3.exceptions import HTTPError

SECRET = re.compile("SECRET|PASSWORD|TOKEN|KEY|CONN")
PASSWORD_IN_URL = re.compile(r"://[^/\s:@]+:([^/\s@]+)@")
SHORTEST = 8
"""A shorter value would be found by chance."""


def secrets_of(directory: Path) -> dict[str, str]:
    """The environment's own secrets, and those of its Deployments as its Kubernetes APIs hold them."""
    found = {name: str(value) for name, value in json.loads((directory / "secrets.json").read_text()).items()}
    for role in ("primary", "secondary"):
        try:
            found |= _of_deployments(directory / f"kubeconfig-{role}", role)
        except (ApiException, ConfigException, HTTPError, OSError):
            continue  # a region without power holds nothing that the other one does not
    return {name: value for name, value in found.items() if len(value) >= SHORTEST}


def _of_deployments(kubeconfig: Path, role: str) -> dict[str, str]:
    core = kubernetes_client.CoreV1Api(new_client_from_config(str(kubeconfig)))
    listed: Any = core.list_secret_for_all_namespaces(_request_timeout=10)
    found = {}
    for secret in listed.items:
        for key, value in (secret.data or {}).items():
            text = base64.b64decode(value).decode(errors="replace")
            name = f"{secret.metadata.namespace}/{secret.metadata.name}/{key} ({role})"
            if password := PASSWORD_IN_URL.search(text):
                found[name] = password[1]
            elif SECRET.search(key):
                found[name] = text
    return found
