"""Many credentials during an outage of Vault and at its end: nothing is lost, and Vault is not flooded."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.manifests import credential, decoded
from support.operated import Json
from support.tenant import Tenant, eventually
from testbed.link import Link, Links
from testbed.operator_process import OperatorProcess

API_TOKENS = [f"token-{number}" for number in range(48)]
GRANTS = [f"grant-{number}" for number in range(12)]
LATE = "late"
WORKERS = 20
RECOVERY_SECONDS = 10.0
WOKEN_WITHIN_SECONDS = 4.0
"""Who is not woken comes by itself, up to eight seconds later."""
HELD_UP_SECONDS = 0.02
"""Requests are then in progress at the same time, and need separate connections."""
LOOKS = 4
"""After so many each waits for eight seconds."""


@dataclass(frozen=True)
class Watched:
    """An operator whose connection to Vault a test can break."""

    operator: OperatorProcess
    way: Link

    def failed_looks(self) -> int:
        """Count the passes that failed because of Vault."""
        answer = self.operator.get("/metrics")
        assert answer is not None
        found = re.search(
            r'^pipedrive_operator_passes_total\{reason="VaultUnavailable"\} (\S+)', answer.text, re.MULTILINE
        )
        return int(float(found[1])) if found else 0


@pytest.fixture
def watched(settings: Callable[[str], Json], crd: None, tenant: Tenant, tmp_path: Path) -> Iterator[Watched]:
    """Run an operator for the namespace of the test, with short timeouts for Vault."""
    assert crd is None
    with Links() as links:
        way = links.to(tenant.openbao.port)
        wanted = settings(tenant.namespace)
        wanted["kubernetes"]["namespaces"] = [tenant.namespace]
        wanted["vault"]["connections"]["default"] |= {"address": way.url, "timeout": "1s"}
        wanted["controller"] = {"pollInterval": "2s", "workers": WORKERS}
        with OperatorProcess(wanted, folder=tmp_path) as operator:
            yield Watched(operator, way)


@pytest.fixture
def crowd(watched: Watched, tenant: Tenant) -> list[str]:
    """Publish credentials of both kinds, and return their names."""
    assert watched
    items = []
    token = tenant.api_token
    for name in API_TOKENS:
        tenant.store(name, api_token=token)
        items.append(credential(name, {"apiToken": {"path": tenant.path(name)}}))
    for name in GRANTS:
        tenant.store(name, **tenant.consent() | {"expires_in": 3600})  # no refresh is due during the test
        oauth2 = {"client": {"app": "crm-sync"}, "grant": {"path": tenant.path(name)}}
        items.append(credential(name, {"oauth2": oauth2}))
    tenant.create({"apiVersion": "v1", "kind": "List", "items": items})
    names = [*API_TOKENS, *GRANTS]
    eventually(lambda: _all_have(tenant, names, "Published", "Accepted"))
    return names


def test_an_outage_loses_nothing_and_its_end_wakes_all_credentials_in_turn(
    watched: Watched, crowd: list[str], tenant: Tenant
) -> None:
    """Values written in the meantime are published, with as many concurrent requests as there are workers."""
    before = _secrets(tenant)
    watched.way.hang()
    asked = watched.way.accepted

    eventually(lambda: _all_have(tenant, crowd, "Published", "VaultUnavailable"))
    changed = _second_token(tenant)
    tenant.store(crowd[0], api_token=changed)
    tenant.apply_api_token(LATE)
    eventually(lambda: watched.failed_looks() >= LOOKS * len(crowd))

    assert before == _secrets(tenant)
    assert "VaultUnavailable" in _reasons(tenant)[LATE]
    assert "does not respond in time" in tenant.conditions(crowd[0])["Authorized"]["message"]
    assert watched.way.accepted - asked <= WORKERS + LOOKS
    watched.way.delay(HELD_UP_SECONDS)
    logins, asked, returned = _logins(tenant), watched.way.accepted, time.time()
    watched.way.mend()
    eventually(lambda: _all_have(tenant, [*crowd, LATE], "Published", "Accepted"), within=RECOVERY_SECONDS)
    tenant.wait_for_value(changed, crowd[0], within=RECOVERY_SECONDS - (time.time() - returned))
    first = _first_reads(tenant, since=returned)
    assert {*crowd, LATE} == first.keys()
    assert max(first.values()) - min(first.values()) < WOKEN_WITHIN_SECONDS
    assert watched.way.accepted - asked <= WORKERS
    assert logins == _logins(tenant)
    assert before | {crowd[0]: changed} == {name: token for name, token in _secrets(tenant).items() if name != LATE}


def _reasons(tenant: Tenant) -> dict[str, set[str]]:
    found = tenant.all_of("pipedrivecredential").items()
    return {name: {each["reason"] for each in item["status"].get("conditions", ())} for name, item in found}


def _all_have(tenant: Tenant, names: list[str], *reasons: str) -> bool:
    found = _reasons(tenant)
    return all(found[name] == set(reasons) for name in names)


def _secrets(tenant: Tenant) -> dict[str, str]:
    """Return the token in each Secret."""
    found = {name: decoded(item) for name, item in tenant.all_of("secret").items()}
    return {name: data.get("api_token") or data["access_token"] for name, data in found.items()}


def _second_token(tenant: Tenant) -> str:
    """Create another user of the company, and return their API token."""
    user_id = tenant.user_id + 1000
    added = tenant.pipedrive.command("add-user", company_id=tenant.company_id, user_id=user_id)
    return str(added["api_token"])


def _first_reads(tenant: Tenant, *, since: float) -> dict[str, float]:
    """Return when Vault first answered a read of each credential."""
    first: dict[str, float] = {}
    folder = tenant.path("")
    for answer in tenant.openbao.kv_answers():
        if answer.at >= since and answer.operation == "read" and answer.path.startswith(folder):
            first.setdefault(answer.path.removeprefix(folder), answer.at)
    return first


def _logins(tenant: Tenant) -> int:
    return sum(one.path.startswith("auth/") for one in tenant.openbao.requests())
