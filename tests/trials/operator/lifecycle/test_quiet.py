"""The number of requests: two writes and one read for a first publication, and no writes while nothing changes.

The API server and OpenBao count them, for operators that act as users of their own.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from support.operated import Json
from support.tenant import Tenant, eventually
from testbed.control_plane import ControlPlane
from testbed.openbao import OpenBao
from testbed.operator_process import OperatorProcess

FOREIGN = 1000
_WATCHES_AND_RESYNC = {"list secrets", "watch secrets", "list pipedrivecredentials", "watch pipedrivecredentials"}
_NAMED_AT_START = {"get customresourcedefinitions", "create selfsubjectaccessreviews", "list namespaces"}
Operate = Callable[..., OperatorProcess]


@pytest.fixture
def operate(settings: Callable[[str], Json], crd: None, tmp_path: Path, namespace: str) -> Iterator[Operate]:
    """Run an operator for the namespace of the test alone, with long intervals unless the test sets them."""
    assert crd is None
    with contextmanager(_operating)(settings, tmp_path, namespace) as made:
        yield made


def _operating(settings: Callable[[str], Json], folder: Path, namespace: str) -> Iterator[Operate]:
    started: list[OperatorProcess] = []

    def made(**controller: str) -> OperatorProcess:
        wanted = settings(namespace)
        wanted["kubernetes"]["namespaces"] = [namespace]
        wanted["controller"] = controller
        started.append(OperatorProcess(wanted, folder=folder))
        return started[-1].__enter__()

    yield made
    for operator in started:
        operator.stop()


def test_a_first_publication_is_two_writes_and_one_read(
    tenant: Tenant, operate: Operate, control_plane: ControlPlane, openbao: OpenBao
) -> None:
    """It writes the Secret and the status, and reads the value from Vault; a first success is no Event."""
    operate()

    tenant.apply_api_token()
    tenant.wait_until_published()

    writes = [request.kind for request in control_plane.requests(tenant.namespace) if request.writes]
    reads = [one for one in openbao.requests() if one.path == f"secret/data/{tenant.path('acme')}"]
    allowed = ["create secrets", "patch pipedrivecredentials/status"]
    assert allowed == [kind for kind in writes if kind not in _NAMED_AT_START]
    assert ["read"] == [one.operation for one in reads if one.operation == "read"]
    assert 1 == len(tenant.calls())


def test_an_idle_operator_sends_only_the_necessary_requests(
    tenant: Tenant, operate: Operate, control_plane: ControlPlane, openbao: OpenBao
) -> None:
    """Vault is polled each second; otherwise there are the verification, the lists of the resync and the watches.

    Nothing is written.
    """
    operate(pollInterval="1s", verifyInterval="3s", resyncInterval="2s")
    for name in ("one", "two"):
        tenant.apply_api_token(name)
        tenant.wait_until_published(name)
    tenant.apply_oauth2("three", seed=tenant.consent())
    tenant.wait_until_published("three")
    eventually(lambda: _looks_at_the_crd(control_plane, tenant) == 2)  # at the start, and when the watch had begun
    asked, read = len(control_plane.requests(tenant.namespace)), len(openbao.requests())
    version = tenant.get("secret", "one")["metadata"]["resourceVersion"]  # type: ignore[index]  # it exists

    eventually(lambda: _lists(control_plane, tenant, asked) >= 4 and _reads(openbao, tenant, read) >= 9)

    since = control_plane.requests(tenant.namespace)[asked:]
    assert {request.kind for request in since} <= _WATCHES_AND_RESYNC
    polls = [f"secret/data/{tenant.path(name)}" for name in ("one", "two", "three")]
    assert {("read", path) for path in polls} == {(one.operation, one.path) for one in openbao.requests()[read:]}
    assert min(_pauses(openbao, tenant)) > 0.5  # one response may be late, and the next one on time
    assert version == tenant.get("secret", "one")["metadata"]["resourceVersion"]  # type: ignore[index]
    assert 0 == len([call for call in tenant.calls() if call.is_refresh])


def test_foreign_secrets_are_never_received(tenant: Tenant, operate: Operate, control_plane: ControlPlane) -> None:
    """There are a thousand: lists and watches of Secrets select the operator's label, and no other Secret is read."""
    items = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"foreign-{number}"}, "stringData": {"a": "b"}}
        for number in range(FOREIGN)
    ]
    tenant.kubectl("create", "--filename=-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))

    operator = operate(resyncInterval="1s")
    tenant.apply_api_token()
    tenant.wait_until_published()
    tenant.patch("secret", "foreign-1", {"stringData": {"a": "c"}})
    eventually(lambda: _lists(control_plane, tenant, 0) >= 6)

    asked = [request for request in control_plane.requests(tenant.namespace) if request.resource == "secrets"]
    selected = [request for request in asked if request.verb in {"list", "watch"}]
    assert selected
    assert all("labelSelector=pipedrive-operator.io" in request.uri for request in selected)
    assert not any(request.name.startswith("foreign") for request in asked)
    assert "foreign" not in operator.log.read_text()


def _looks_at_the_crd(control_plane: ControlPlane, tenant: Tenant) -> int:
    kinds = [request.kind for request in control_plane.requests(tenant.namespace)]
    return kinds.count("get customresourcedefinitions")


def _lists(control_plane: ControlPlane, tenant: Tenant, since: int) -> int:
    counted = Counter(request.verb for request in control_plane.requests(tenant.namespace)[since:])
    return counted["list"]


def _pauses(openbao: OpenBao, tenant: Tenant) -> list[float]:
    """Return the seconds between consecutive reads of a document."""
    read = [one for one in openbao.kv_answers() if tenant.namespace in one.path and one.operation == "read"]
    times = {path: sorted(one.at for one in read if one.path == path) for path in {one.path for one in read}}
    return [after - before for each in times.values() for before, after in pairwise(each)]


def _reads(openbao: OpenBao, tenant: Tenant, since: int) -> int:
    return sum(1 for one in openbao.requests()[since:] if tenant.namespace in one.path)
