"""The secrets of one environment: tokens, passwords, certificates, and the files that carry them.

All of it is made anew for every environment, lies in files of mode 0600 below its directory, and goes
with it. Nothing of it reaches an argument list, the journal or a report.
"""

from __future__ import annotations

import base64
import json
import secrets
from pathlib import Path

import trustme

from harness.environments.embedded.addresses import KUBERNETES, POSTGRES, Block, Caller
from harness.environments.embedded.layout import ROLES
from harness.environments.embedded.private import read_private, write_private

TOKENS = ("control_token", "observer_control_token", "witness_token", "api_token", "read_token", "admin_token",
          "agent_token", "aws_secret_key", "postgres_password", "warm_password", "replication_password",
          *(f"{kind}_{role}" for role in ROLES
            for kind in ("kube_token", "kube_orchestrator_token", "kube_observer_token")))
AWS_KEYS = ("aws_access_key", "aws_orchestrator_key", "aws_observer_key")
"""The access keys of the workloads, the orchestrator and the observer; they share one secret key, because no
signature is verified."""
SERVICE_FILE = "pg_service.conf"


def make_secrets(directory: Path, block: Block) -> dict[str, str]:
    """Make every secret; also write a libpq service file for whoever wants to look with psql."""
    made = {name: secrets.token_hex(16) for name in TOKENS}
    made |= {name: "AKIA" + secrets.token_hex(8).upper() for name in AWS_KEYS}
    write_private(directory / "secrets.json", json.dumps(made))
    write_private(directory / SERVICE_FILE, "\n".join(
        f"[{role}]\nhost={block.service(site, POSTGRES)}\nport={POSTGRES.port}\nuser=postgres\n"
        f"password={made['postgres_password']}\ndbname=postgres\n" for role, site in ROLES.items()))
    return made


def load_secrets(directory: Path) -> dict[str, str]:
    """The secrets of an environment that another process made.

    Raises:
        OSError: when they cannot be read.
        ValueError: when that is not what they are.
    """
    found = json.loads(read_private(directory / "secrets.json"))
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ValueError("secrets.json does not hold secrets by their names")
    return found


def make_certificates(directory: Path, block: Block, tokens: dict[str, str], owner: int | None = None) -> None:
    """A certificate authority, a certificate for each Kubernetes API, and kubeconfigs for both.

    The directories of the sites are there already, each as private as it has to be. ``owner``: whose what is in them is
    (None: ours); what is beside them is the observer's, and ours.
    The API is reached directly by the observer and through a link by the orchestrator, so each
    certificate names both addresses; and each of the two has a token of its own.
    """
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(directory / "ca.crt"))
    for role, site in ROLES.items():
        direct = block.service(site, KUBERNETES)
        linked = block.link(Caller.ORCHESTRATOR, site, KUBERNETES)
        issued = authority.issue_cert(direct, linked)
        region, orchestrator = directory / "sites" / role, directory / "sites" / "orchestrator"
        ca = authority.cert_pem.bytes()
        write_private(region / "kube.key", issued.private_key_pem.bytes().decode(), owner)
        write_private(region / "kube.crt", b"".join(blob.bytes() for blob in issued.cert_chain_pems).decode(), owner)
        write_private(region / "ca.crt", ca.decode(), owner)
        write_private(directory / f"kubeconfig-{role}",
                      _kubeconfig(role, direct, ca, tokens[f"kube_observer_token_{role}"]))
        write_private(orchestrator / f"kubeconfig-{role}",
                      _kubeconfig(role, linked, ca, tokens[f"kube_orchestrator_token_{role}"]), owner)


def _kubeconfig(role: str, address: str, ca: bytes, token: str) -> str:
    name = f"dr-drill-{role}"
    return json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": name,
        "clusters": [{"name": name, "cluster": {
            "server": f"https://{address}:{KUBERNETES.port}",
            "certificate-authority-data": base64.b64encode(ca).decode()}}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }, indent=1)
