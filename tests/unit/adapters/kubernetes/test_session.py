"""How a kubeconfig is used to reach the API server, and how its token is kept current."""

import json
import ssl
from collections.abc import AsyncIterator
from datetime import timedelta
from http import HTTPStatus
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fakes.api_server import FakeApiServer
from pipedrive_operator.adapters.kubernetes import session as module
from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.endpoints import SECRETS
from pipedrive_operator.adapters.kubernetes.session import open_session, operator_namespace
from pipedrive_operator.config.settings import KubernetesSettings
from pipedrive_operator.core.values.errors import ApiServerNotTrusted, ApiServerUnavailable
from support.builders import NOW


def exec_plugin(file: Path) -> dict[str, Any]:
    """Build a kubeconfig user whose plugin prints a file."""
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "cat", "args": [str(file)]}
    return {"exec": plugin}


def write_credential(file: Path, token: str, **status: str) -> None:
    """Write what the plugin prints."""
    answer = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": token} | status,
    }
    file.write_text(json.dumps(answer))


def test_the_operators_namespace_is_configured_or_the_pods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside a pod and without a setting, it is `default`."""
    file = tmp_path / "namespace"
    monkeypatch.setattr(module, "POD_NAMESPACE", file)
    outside = operator_namespace(KubernetesSettings())
    file.write_text("the-pods\n")

    inside, named = operator_namespace(KubernetesSettings()), KubernetesSettings(operator_namespace="as-set")

    assert (outside, inside, operator_namespace(named)) == ("default", "the-pods", "as-set")


async def test_an_exec_plugin_provides_the_token(server: FakeApiServer, tmp_path: Path) -> None:
    """A kubeconfig may name a program that prints the token."""
    write_credential(tmp_path / "answer", "first")

    async with await Api.connect(server.settings(exec_plugin(tmp_path / "answer"))) as api:
        await api.get(SECRETS.collection())

    assert server.requests[0].headers["Authorization"] == "Bearer first"


async def test_a_new_token_is_requested_in_time(
    server: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client and the session of the watch do so. A plugin whose token is still valid is not run again."""
    monkeypatch.setattr(module, "TOKEN_AGE", 0.0)
    answer = tmp_path / "answer"
    settings = server.settings(exec_plugin(answer))

    write_credential(answer, "first")
    address, session = await open_session(settings)
    async with await Api.connect(settings) as api, session:
        write_credential(answer, "second", expirationTimestamp="2999-01-01T00:00:00Z")
        await api.get(SECRETS.collection())
        await session.get(f"{address}/version")
        write_credential(answer, "third")
        await api.get(SECRETS.collection())

    sent = [request.headers["Authorization"] for request in server.requests]
    assert sent == ["Bearer second"] * 3


async def test_a_token_file_is_read_again(
    server: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rotated ServiceAccount token requires it. Within a minute, it is not read again."""
    file = tmp_path / "token"
    file.write_text("first")
    async with await Api.connect(server.settings({"tokenFile": str(file)})) as api:
        file.write_text("second")
        await api.get(SECRETS.collection())
    monkeypatch.setattr(module, "TOKEN_AGE", 0.0)
    async with await Api.connect(server.settings({"tokenFile": str(file)})) as api:
        file.write_text("third")
        await api.get(SECRETS.collection())

    sent = [request.headers["Authorization"] for request in server.requests]
    assert sent == ["Bearer first", "Bearer third"]


@pytest.mark.parametrize("content", [None, "[]", "nonsense: [", "{}"])
async def test_a_missing_or_invalid_kubeconfig_is_reported(tmp_path: Path, content: str | None) -> None:
    """The error names the cause."""
    kubeconfig = tmp_path / "kubeconfig"
    if content is not None:
        kubeconfig.write_text(content)

    with pytest.raises(ApiServerUnavailable, match="no usable configuration"):
        await Api.connect(KubernetesSettings(kubeconfig=kubeconfig))


async def test_a_missing_configuration_outside_a_pod_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a kubeconfig, the operator must run in a pod."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    with pytest.raises(ApiServerUnavailable, match="no usable configuration"):
        await Api.connect(KubernetesSettings())


async def test_a_netrc_file_is_ignored(server: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its password for the API server's host would replace our token."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("default login someone password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    settings = server.settings()

    address, session = await open_session(settings)
    async with await Api.connect(settings) as api, session:
        await api.get(SECRETS.collection())
        await session.get(f"{address}/version")

    assert [request.headers["Authorization"] for request in server.requests] == ["Bearer a-token"] * 2


async def test_a_large_header_is_read(server: FakeApiServer) -> None:
    """Some proxies in front of an API server add one; the client and the session of the watch have the same limit."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response({}, headers={"X-Trace": "b" * 60_000} | {f"X-{number}": "c" for number in range(500)})

    server.answer = answer
    settings = server.settings()

    address, session = await open_session(settings)
    async with await Api.connect(settings) as api, session:
        await api.get(SECRETS.collection())
        async with session.get(f"{address}/version") as response:
            assert response.status == HTTPStatus.OK


async def test_a_proxy_is_taken_from_the_environment(server: FakeApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for kubectl, NO_PROXY lists the hosts that need none."""
    monkeypatch.setenv("http_proxy", server.address)
    monkeypatch.setenv("no_proxy", "direct.example.com")
    proxy = server.address
    server.address = "http://cluster.example.com"

    async with await Api.connect(server.settings()) as api:
        await api.get(SECRETS.collection())
    configuration = await module.load_configuration(server.settings())
    server.address = "http://direct.example.com:6443"
    direct = await module.load_configuration(server.settings())

    assert [request.host for request in server.requests] == ["cluster.example.com"]
    assert (configuration.proxy, direct.proxy) == (proxy, None)


def name_of(common_name: str) -> x509.Name:
    """Build the name of a certificate."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def issue(folder: Path) -> tuple[Path, Path, Path]:
    """Write an authority's certificate, one for 127.0.0.1 without an Authority Key Identifier, and the latter's key."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    certificates = [
        x509.CertificateBuilder(name_of("authority"), name_of(name), key.public_key(), x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=3650))
        .not_valid_after(NOW + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=name == "authority", path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(keys[0], hashes.SHA256())
        for name, key in zip(("authority", "api-server"), keys, strict=True)
    ]
    pem = serialization.Encoding.PEM
    private = keys[1].private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    contents = [certificates[0].public_bytes(pem), certificates[1].public_bytes(pem), private]
    files = folder / "ca.crt", folder / "tls.crt", folder / "tls.key"
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    return files


@pytest.fixture
async def tls_server(server: FakeApiServer, tmp_path: Path) -> AsyncIterator[Path]:
    """Let the fake API server speak TLS too, and return the certificate of its authority."""
    authority, certificate, key = issue(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    running = TestServer(app, scheme="https")
    await running.start_server(ssl=context)
    server.address = f"https://127.0.0.1:{running.port}"
    yield authority
    await running.close()


async def test_a_certificate_without_an_authority_key_identifier_is_accepted(
    server: FakeApiServer, tls_server: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client accepts it as kubectl does, although Python 3.13 made strict verification the default."""
    default = ssl.create_default_context

    def strict(*arguments: Any, **options: Any) -> ssl.SSLContext:
        context = default(*arguments, **options)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", strict)
    settings = server.settings(authority=tls_server)

    address, session = await open_session(settings)
    async with await Api.connect(settings) as api, session:
        await api.get(SECRETS.collection())
        async with session.get(f"{address}/version") as response:
            assert response.status == HTTPStatus.OK


async def test_a_certificate_that_is_not_accepted_is_reported_with_the_reason(
    server: FakeApiServer, tls_server: Path
) -> None:
    """The API server runs, so the advice must not be to check that."""
    assert tls_server.name == "ca.crt"

    async with await Api.connect(server.settings()) as api:
        with pytest.raises(ApiServerNotTrusted, match="is not accepted: unable to get local issuer"):
            await api.get(SECRETS.collection())


def replace_file(path: Path, content: bytes | None) -> None:
    """Replace the content of a file, or remove the file."""
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)


def content_of(path: Path) -> bytes:
    """Return the content of a file."""
    return path.read_bytes()


@pytest.fixture
def former_authority(tmp_path: Path) -> Path:
    """Return the certificate of an authority that did not issue the API server's, under the same name."""
    folder = tmp_path / "former"
    folder.mkdir()
    return issue(folder)[0]


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
async def test_a_ca_that_was_rotated_is_trusted_after_one_failure(
    server: FakeApiServer, tls_server: Path, former_authority: Path, content: bytes | None
) -> None:
    """The kubelet replaces the file, and nobody restarts the operator for it; nor while it is missing or damaged."""
    authority = content_of(tls_server)

    async def fail() -> None:
        with pytest.raises(ApiServerNotTrusted):
            await api.get(SECRETS.collection())

    async with await Api.connect(server.settings(authority=former_authority)) as api:
        await fail()
        replace_file(former_authority, content)
        await fail()
        replace_file(former_authority, authority)
        await fail()

        await api.get(SECRETS.collection())
