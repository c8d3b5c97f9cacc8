"""Every auth method with a real OpenBao, at a mount of its own, with secrets from files and from Secrets."""

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fakes.clock import TurnedClock
from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.login_material import KubernetesLoginMaterial
from pipedrive_operator.adapters.vault import VaultConnections
from pipedrive_operator.config.settings import KubernetesSettings
from pipedrive_operator.config.vault import VaultConnectionSettings, VaultSettings
from pipedrive_operator.core.grant.document import OPERATOR, VaultLocation
from pipedrive_operator.core.values.errors import VaultDenied
from support.vault_clock import requests_to
from testbed.certificates import Authority
from testbed.control_plane import ControlPlane
from testbed.openbao import OpenBao

Open = Callable[..., VaultConnections]


@dataclass(frozen=True)
class Setup:
    """What a test works with: a namespace, and a document in Vault that only the test's own policy allows to read."""

    control_plane: ControlPlane
    openbao: OpenBao
    namespace: str
    location: VaultLocation

    @property
    def prefix(self) -> str:
        """The name of everything that is created for this test only."""
        return self.location.path.partition("/")[0]

    def put_secret(self, name: str, **values: str) -> None:
        """Write a Secret to the operator's namespace; an underscore in a key stands for a dot."""
        data = {key.replace("_", "."): base64.b64encode(value.encode()).decode() for key, value in values.items()}
        manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}
        arguments = ("apply", f"--namespace={self.namespace}", "--filename=-")
        self.control_plane.kubectl(*arguments, stdin=json.dumps(manifest))

    def policies(self, openbao: OpenBao | None = None) -> list[str]:
        """Write the document and the policy; return the policies of a login."""
        server = openbao or self.openbao
        server.write_secret(self.location.path, {"token": "t"})
        server.put_policy(self.prefix, f'path "secret/data/{self.prefix}/*" {{ capabilities = ["read"] }}')
        return ["default", self.prefix]


@pytest.fixture
def setup(control_plane: ControlPlane, openbao: OpenBao, namespace: str, location: VaultLocation) -> Setup:
    """Return what the test works with."""
    return Setup(control_plane, openbao, namespace, location)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Create the CA of servers and clients."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def tls_openbao(authority: Authority) -> Iterator[OpenBao]:
    """Run an OpenBao with TLS."""
    with OpenBao(tls=authority.serving("vault", ["vault.example.com", "127.0.0.1"])) as running:
        yield running


@pytest.fixture
async def api(control_plane: ControlPlane) -> AsyncIterator[Api]:
    """Connect to the API server as administrator."""
    async with await Api.connect(KubernetesSettings(kubeconfig=control_plane.kubeconfig)) as api:
        yield api


@pytest.fixture
async def connected(api: Api, namespace: str, clock: TurnedClock) -> AsyncIterator[Open]:
    """Return a function that opens the adapter with settings as in a file; its Secrets are in the test's namespace."""
    async with AsyncExitStack() as stack:

        def opened(**settings: Any) -> VaultConnections:
            made = VaultConnectionSettings.model_validate(settings)
            vault = VaultConnections(
                VaultSettings(connections={"default": made}), clock, KubernetesLoginMaterial(api, namespace)
            )
            stack.push_async_exit(vault)
            return vault

        yield opened


async def test_a_token_from_a_secret(
    connected: Open,
    setup: Setup,
) -> None:
    """It is read again after it was replaced, and never revoked, because a person provided it."""
    token = setup.openbao.create_token(setup.policies())
    vault = connected(
        address=setup.openbao.address, auth={"method": "token", "tokenSecretRef": {"name": "vault", "key": "token"}}
    )
    with pytest.raises(VaultDenied, match="key token of Secret vault in the operator's namespace is missing"):
        await vault.read(setup.location, OPERATOR)
    setup.put_secret("vault", token=token)

    await vault.connections["default"].aclose()
    vault = connected(
        address=setup.openbao.address, auth={"method": "token", "tokenSecretRef": {"name": "vault", "key": "token"}}
    )
    assert await vault.read(setup.location, OPERATOR) is not None
    await vault.connections["default"].aclose()
    assert setup.openbao.request("GET", "auth/token/lookup-self", token=token)


@pytest.mark.parametrize("kept", ["file", "Secret"])
async def test_approle(
    connected: Open,
    setup: Setup,
    tmp_path: Path,
    kept: str,
) -> None:
    """The role_id is in the settings, the secret_id is not; the token is revoked at the end."""
    mount = f"approle-{setup.prefix}"
    setup.openbao.enable_auth("approle", path=mount)
    setup.openbao.request("POST", f"auth/{mount}/role/operator", json={"token_policies": setup.policies()})
    role_id = setup.openbao.request("GET", f"auth/{mount}/role/operator/role-id")["data"]["role_id"]
    secret_id = setup.openbao.request("POST", f"auth/{mount}/role/operator/secret-id")["data"]["secret_id"]
    setup.put_secret("approle", id=secret_id)
    (tmp_path / "secret-id").write_text(secret_id)
    source: dict[str, Any] = {"secretIdFile": tmp_path / "secret-id"}
    if kept == "Secret":
        source = {"secretIdSecretRef": {"name": "approle", "key": "id"}}
    revoked = requests_to(setup.openbao, "auth/token/revoke-self")

    vault = connected(
        address=setup.openbao.address, auth={"method": "approle", "mount": mount, "roleId": role_id, **source}
    )

    assert await vault.read(setup.location, OPERATOR) is not None
    await vault.connections["default"].aclose()
    assert requests_to(setup.openbao, "auth/token/revoke-self") == revoked + 1


@pytest.mark.parametrize("kept", ["file", "Secret"])
async def test_jwt(
    connected: Open,
    setup: Setup,
    tmp_path: Path,
    kept: str,
) -> None:
    """Vault verifies a ServiceAccount token by the cluster's public key; the token is read at each login."""
    mount = f"jwt-{setup.prefix}"
    setup.openbao.enable_jwt_auth(setup.control_plane, path=mount)
    account = f"{setup.namespace}/operator"
    policies = setup.policies()
    setup.openbao.put_jwt_role("operator", service_account=account, policies=policies, audience="vault", path=mount)
    setup.control_plane.kubectl("create", "serviceaccount", "operator", f"--namespace={setup.namespace}")
    source = {"jwtSecretRef": {"name": "jwt", "key": "id"}} if kept == "Secret" else {"jwtFile": tmp_path / "jwt"}
    auth = {"method": "jwt", "mount": mount, "role": "operator", **source}

    def keep(audience: str) -> None:
        jwt = setup.control_plane.service_account_token(setup.namespace, "operator", audience=audience)
        setup.put_secret("jwt", id=jwt) if kept == "Secret" else (tmp_path / "jwt").write_text(jwt)

    keep("vault")
    assert await connected(address=setup.openbao.address, auth=auth).read(setup.location, OPERATOR) is not None
    keep("elsewhere")
    with pytest.raises(VaultDenied, match=f"by jwt at auth/{mount} with role operator"):
        await connected(address=setup.openbao.address, auth=auth).read(setup.location, OPERATOR)


@pytest.mark.parametrize("kept", ["file", "Secret"])
async def test_a_tls_certificate(
    connected: Open,
    setup: Setup,
    tls_openbao: OpenBao,
    authority: Authority,
    kept: str,
) -> None:
    """Certificate and CA come from files or Secrets; the server's certificate is for another name than its address."""
    mount = f"cert-{setup.prefix}"
    tls_openbao.enable_auth("cert", path=mount)
    role = {"certificate": authority.certificate.read_text(), "token_policies": setup.policies(tls_openbao)}
    tls_openbao.request("POST", f"auth/{mount}/certs/operator", json=role)
    pair = authority.client("operator", user="operator")
    setup.put_secret("tls", tls_crt=pair.public.read_text(), tls_key=pair.key.read_text(),
        ca=authority.certificate.read_text(),
    )  # fmt: skip
    material: dict[str, Any] = {
        "caFile": authority.certificate,
        "clientCertificateFile": pair.public,
        "clientKeyFile": pair.key,
    }
    if kept == "Secret":
        material = {"caSecretRef": {"name": "tls", "key": "ca"}, "clientCertificateSecretRef": {"name": "tls"}}

    vault = connected(
        address=f"https://localhost:{tls_openbao.tls_port}",
        serverName="vault.example.com",
        auth={"method": "cert", "mount": mount, "role": "operator"},
        **material,
    )

    assert await vault.read(setup.location, OPERATOR) is not None


async def test_environment_variables_have_no_effect(setup: Setup, tmp_path: Path) -> None:
    """They are set when the process starts, as libraries read some when they are imported."""
    (tmp_path / "token").write_text(setup.openbao.create_token(setup.policies()))
    (tmp_path / ".vault-token").write_text("s.of-somebody-else")
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password hush\n")
    nowhere = "http://127.0.0.1:1"
    environment = {
        **dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "VAULT_ADDR", "BAO_ADDR"), nowhere),
        **dict.fromkeys(("VAULT_TOKEN", "BAO_TOKEN"), "s.wrong"),
        **dict.fromkeys(("VAULT_CACERT", "VAULT_CAPATH", "VAULT_CLIENT_CERT", "VAULT_CLIENT_KEY"), "/nowhere"),
        **dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"), "/nowhere"),
        "VAULT_NAMESPACE": "elsewhere",
        "HOME": str(tmp_path),
        "NETRC": str(tmp_path / ".netrc"),
        "PATH": "/usr/bin:/bin",
    }
    program = """
import asyncio, sys
from pathlib import Path
from pipedrive_operator.adapters.clock import SystemClock
from pipedrive_operator.adapters.vault import VaultConnections
from pipedrive_operator.core.grant.document import OPERATOR, VaultLocation
from pipedrive_operator.config.vault import VaultSettings
async def main(address, token_file, path):
    connection = {"address": address, "auth": {"method": "token", "tokenFile": token_file}}
    settings = VaultSettings.model_validate({"connections": {"default": connection}})
    async with VaultConnections(settings, SystemClock()) as vault:
        found = await vault.read(VaultLocation(connection="default", mount="secret", path=path), OPERATOR)
        print(sorted(found.values))
asyncio.run(main(*sys.argv[1:]))
"""
    command = (sys.executable, "-c", program, setup.openbao.address, str(tmp_path / "token"), setup.location.path)
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()

    assert output.decode().strip() == "['token']"
