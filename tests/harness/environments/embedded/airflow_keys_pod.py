"""What a forked Airflow container does with its keys: ``python -m tests.harness.environments.embedded.airflow_keys_pod``.

It reads tokens, one a line, from the file ``tokens`` of its directory, and writes JSON to ``said``.
"""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import httpx
import jwt
from airflow.api_fastapi.app import cached_app
from airflow.api_fastapi.auth.managers.base_auth_manager import BaseAuthManager
from airflow.api_fastapi.core_api.datamodels import dags
from airflow.models import crypto

from harness.environments.embedded.node.warm import give_key, key_holders


def main() -> None:
    manager: Any = BaseAuthManager
    inherited = key_holders()
    app = cached_app(apps="core")
    had_key = hasattr(app.state, "secret_key")
    give_key(app)
    own = manager._get_token_signer().generate({"sub": "admin", "role": "admin"})

    def accepted(token: str) -> bool:
        try:
            manager._get_token_validator().validated_claims(token)
        except jwt.InvalidTokenError:
            return False
        return True

    async def status(token: str) -> int:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://pod") as client:
            answer = await client.get("/api/v2/variables", headers={"authorization": f"Bearer {token}"})
            return answer.status_code

    others = Path("tokens").read_text().split()
    said = {
        "inherited": inherited, "had_key": had_key, "own": own, "accepts_own": accepted(own),
        "accepts": [accepted(token) for token in others], "statuses": [asyncio.run(status(t)) for t in others],
        "secret": crypto.get_fernet().encrypt(b"connection").decode(),
        "link": dags._get_file_token_serializer().dumps("dag.py"), "app_key": app.state.secret_key,
        "jwt_key": os.environ["AIRFLOW__API_AUTH__JWT_SECRET"],
        "fernet_key": os.environ["AIRFLOW__CORE__FERNET_KEY"], "secret_key": os.environ["AIRFLOW__API__SECRET_KEY"],
    }
    Path("said.new").write_text(json.dumps(said))
    os.replace("said.new", "said")


if __name__ == "__main__":
    main()
