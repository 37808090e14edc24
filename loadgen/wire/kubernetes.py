"""The official Kubernetes client, without what it takes from the shell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kubernetes import client, config


def kubernetes_client_of(kubeconfig: Path) -> client.ApiClient:
    """A client of the cluster that a kubeconfig file describes."""
    settings = client.Configuration()
    config.load_kube_config(str(kubeconfig), client_configuration=settings, persist_config=False)
    return _directly(settings)


def kubernetes_client_at(server: str, token: str, ca: str) -> client.ApiClient:
    """A client of a cluster by address, bearer token and certificate authority file."""
    settings = client.Configuration()
    settings.host, settings.ssl_ca_cert = server, ca
    settings.api_key = {"authorization": f"Bearer {token}"}
    return _directly(settings)


def _directly(settings: Any) -> client.ApiClient:
    settings.proxy = None  # after the host, whose setter looks for a proxy
    return client.ApiClient(settings)
