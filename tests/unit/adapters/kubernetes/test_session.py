"""How the API server is reached by a kubeconfig, and how its token stays current."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipedrive_operator.adapters.kubernetes import session as connection
from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.endpoints import SECRETS
from pipedrive_operator.adapters.kubernetes.session import open_session, operator_namespace
from pipedrive_operator.config.settings import KubernetesSettings
from pipedrive_operator.core.values.errors import ApiServerUnavailable
from support.fake_api_server import FakeApiServer


def exec_plugin(file: Path) -> dict[str, Any]:
    """Build a kubeconfig's user whose plugin answers with a file."""
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "cat", "args": [str(file)]}
    return {"exec": plugin}


def write_answer(file: Path, token: str, **status: str) -> None:
    """Write what the plugin answers."""
    answer = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": token} | status,
    }
    file.write_text(json.dumps(answer))


def test_the_operators_namespace_is_as_set_or_the_pods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside a pod, where nobody set it, it is `default`."""
    file = tmp_path / "namespace"
    monkeypatch.setattr(connection, "POD_NAMESPACE", file)
    outside = operator_namespace(KubernetesSettings())
    file.write_text("the-pods\n")

    inside, named = operator_namespace(KubernetesSettings()), KubernetesSettings(operator_namespace="as-set")

    assert (outside, inside, operator_namespace(named)) == ("default", "the-pods", "as-set")


async def test_runs_an_exec_plugin(server: FakeApiServer, tmp_path: Path) -> None:
    """A kubeconfig may name a program that makes the token."""
    write_answer(tmp_path / "answer", "first")

    async with await Api.connect(server.settings(exec_plugin(tmp_path / "answer"))) as api:
        await api.get(SECRETS.collection())

    assert server.requests[0].headers["Authorization"] == "Bearer first"


async def test_asks_for_a_new_token_in_time(
    server: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway and the watch's session alike; a plugin whose token still lasts is not run again."""
    monkeypatch.setattr(connection, "TOKEN_AGE", 0.0)
    answer = tmp_path / "answer"
    settings = server.settings(exec_plugin(answer))

    write_answer(answer, "first")
    address, session = await open_session(settings)
    async with await Api.connect(settings) as api, session:
        write_answer(answer, "second", expirationTimestamp="2999-01-01T00:00:00Z")
        await api.get(SECRETS.collection())
        await session.get(f"{address}/version")
        write_answer(answer, "third")
        await api.get(SECRETS.collection())

    sent = [request.headers["Authorization"] for request in server.requests]
    assert sent == ["Bearer second"] * 3


async def test_reads_a_token_file_again(server: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a rotated ServiceAccount token needs; not before a minute has passed."""
    file = tmp_path / "token"
    file.write_text("first")
    async with await Api.connect(server.settings({"tokenFile": str(file)})) as api:
        file.write_text("second")
        await api.get(SECRETS.collection())
    monkeypatch.setattr(connection, "TOKEN_AGE", 0.0)
    async with await Api.connect(server.settings({"tokenFile": str(file)})) as api:
        file.write_text("third")
        await api.get(SECRETS.collection())

    sent = [request.headers["Authorization"] for request in server.requests]
    assert sent == ["Bearer first", "Bearer third"]


@pytest.mark.parametrize("content", [None, "[]", "nonsense: [", "{}"])
async def test_says_that_there_is_no_usable_configuration(tmp_path: Path, content: str | None) -> None:
    """A file that is not there, or is no kubeconfig, is no riddle."""
    kubeconfig = tmp_path / "kubeconfig"
    if content is not None:
        kubeconfig.write_text(content)

    with pytest.raises(ApiServerUnavailable, match="no usable configuration"):
        await Api.connect(KubernetesSettings(kubeconfig=kubeconfig))


async def test_says_that_it_is_not_in_a_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a kubeconfig, only a pod will do."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    with pytest.raises(ApiServerUnavailable, match="no usable configuration"):
        await Api.connect(KubernetesSettings())


async def test_a_netrc_file_is_not_asked(
    server: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its password for the API server's host is not for this API."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("default login someone password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    settings = server.settings()

    address, session = await open_session(settings)
    async with await Api.connect(settings) as api, session:
        await api.get(SECRETS.collection())
        await session.get(f"{address}/version")

    assert [request.headers["Authorization"] for request in server.requests] == ["Bearer a-token"] * 2


async def test_a_proxy_is_taken_from_the_environment(server: FakeApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As kubectl has it; and not for what NO_PROXY names."""
    monkeypatch.setenv("http_proxy", server.address)
    monkeypatch.setenv("no_proxy", "direct.example.com")
    proxy = server.address
    server.address = "http://cluster.example.com"

    async with await Api.connect(server.settings()) as api:
        await api.get(SECRETS.collection())
    configuration = await connection.load_configuration(server.settings())
    server.address = "http://direct.example.com:6443"
    direct = await connection.load_configuration(server.settings())

    assert [request.host for request in server.requests] == ["cluster.example.com"]
    assert (configuration.proxy, direct.proxy) == (proxy, None)
