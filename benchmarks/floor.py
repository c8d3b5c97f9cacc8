"""The floor: a minimal client that sends the same requests as the operator and does nothing else.

For each credential: one read from Vault, one request to Pipedrive, and two writes to the API server (the Secret and the
status). It uses none of the operator's code and only one library, aiohttp, the fastest HTTP client for Python. It does
not watch, decide, count or remember anything.
"""

import asyncio
import base64
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from benchmarks.parts import Account, Parts
from benchmarks.workload import API_VERSION, COMPANY, KIND, TOKEN_KEY, Batch, vault_path

_GROUP_PATH: Final = f"/apis/{API_VERSION}"
_NOW: Final = "2026-03-04T12:00:00Z"


def publish(parts: Parts, account: Account, batch: Batch, *, workers: int) -> float:
    """Publish a batch of existing credentials, and return the seconds until the last Secret existed."""
    return asyncio.run(_publish(parts, account, batch, workers))


async def _publish(parts: Parts, account: Account, batch: Batch, workers: int) -> float:
    async with _opened(parts, account) as client:
        uids = await client.uids(batch.namespace)
        work = iter(zip(batch.numbers, batch.names, strict=True))
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_work(client, batch.namespace, work, uids)) for _ in range(workers)]
        return max(task.result() for task in tasks) - started


async def _work(client: "_Client", namespace: str, work: Iterator[tuple[int, str]], uids: dict[str, str]) -> float:
    """Publish one credential after another, and return the monotonic time at which the last Secret existed."""
    created_at = 0.0
    for index, name in work:
        token = await client.read(vault_path(index))
        user = await client.identify(token)
        await client.create(_secret(namespace, name, uid=uids[name], token=token))
        created_at = time.monotonic()
        await client.patch_status(namespace, name, _status(name, user))
    return created_at


@asynccontextmanager
async def _opened(parts: Parts, account: Account) -> AsyncIterator["_Client"]:
    context = ssl.create_default_context(cafile=account.ca)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, ssl=context)) as session:
        yield _Client(session=session, parts=parts, account=account)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Client:
    session: aiohttp.ClientSession
    parts: Parts
    account: Account

    async def uids(self, namespace: str) -> dict[str, str]:
        url = f"{self.account.server}{_GROUP_PATH}/namespaces/{namespace}/pipedrivecredentials"
        listed = await self._ask("GET", url, self.account.headers)
        return {item["metadata"]["name"]: item["metadata"]["uid"] for item in listed["items"]}

    async def read(self, path: str) -> str:
        url = f"{self.parts.openbao.address}/v1/secret/data/{path}"
        answer = await self._ask("GET", url, {"X-Vault-Token": self.account.vault_token})
        return str(answer["data"]["data"][TOKEN_KEY])

    async def identify(self, token: str) -> Any:
        answer = await self._ask("GET", f"{self.parts.pipedrive_url}/v1/users/me", {"x-api-token": token})
        return answer["data"]

    async def create(self, manifest: dict[str, Any]) -> None:
        url = f"{self.account.server}/api/v1/namespaces/{manifest['metadata']['namespace']}/secrets"
        await self._ask("POST", url, self.account.headers, manifest)

    async def patch_status(self, namespace: str, name: str, status: dict[str, Any]) -> None:
        url = f"{self.account.server}{_GROUP_PATH}/namespaces/{namespace}/pipedrivecredentials/{name}/status"
        headers = {**self.account.headers, "Content-Type": "application/merge-patch+json"}
        await self._ask("PATCH", url, headers, {"status": status})

    async def _ask(self, method: str, url: str, headers: dict[str, str], body: dict[str, Any] | None = None) -> Any:
        async with self.session.request(method, url, headers=headers, json=body, raise_for_status=True) as response:
            return await response.json()


def _secret(namespace: str, name: str, *, uid: str, token: str) -> dict[str, Any]:
    """Return a Secret like the operator's, so that it costs the API server as much work."""
    domain = str(COMPANY["domain"])
    data = {TOKEN_KEY: token, "api_domain": f"https://{domain}.pipedrive.com", "company_domain": domain}
    owner = {"apiVersion": API_VERSION, "kind": KIND, "name": name, "uid": uid, "controller": True}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"namespace": namespace, "name": name, "labels": {"floor": name}, "ownerReferences": [owner]},
        "type": "Opaque",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }


def _status(name: str, user: Any) -> dict[str, Any]:
    account = {"companyId": user["company_id"], "companyDomain": user["company_domain"], "userId": user["id"]}
    conditions = [
        {
            "type": kind,
            "status": "True",
            "reason": reason,
            "message": f"Published {name} with the minimal client of the benchmarks.",
            "observedGeneration": 1,
            "lastTransitionTime": _NOW,
        }
        for kind, reason in (("Ready", "Published"), ("Authorized", "Accepted"))
    ]
    return {"observedGeneration": 1, "conditions": conditions, "account": account, "secretName": name}
