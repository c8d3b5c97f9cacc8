"""The part of Vault's HTTP API that tests use to set up and inspect a server, with the standard library only.

It shares no code with the operator's Vault adapter, whose mistakes could otherwise hide in the tests. Starting and
sealing a server is in openbao.
"""

import http.client
import json as json_format
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from testbed.control_plane import ControlPlane

_TIMEOUT_SECONDS = 30
_REVIEWER = ("kube-system", "token-reviewer")

Json = dict[str, Any]


class OpenBaoError(Exception):
    """OpenBao refused or redirected a request; `status` is the HTTP status."""

    def __init__(self, status: int, reason: str) -> None:
        """Store the status besides the text."""
        super().__init__(f"{status}: {reason}")
        self.status = status


class OpenBaoApi:
    """Requests to one server, as root unless a token is given."""

    def __init__(self, *, port: int, root_token: str) -> None:
        """Send requests to 127.0.0.1:`port`."""
        self._port = port
        self.address = f"http://127.0.0.1:{port}"
        self.root_token = root_token

    def request(self, method: str, path: str, *, json: Json | None = None, token: str | None = None) -> Json:
        """Send one request and return its JSON body ({} without one).

        `path` has no leading /v1/; `token` is the root token by default. Raises OpenBaoError, and OSError
        if nothing listens.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT_SECONDS)
        body = None if json is None else json_format.dumps(json)
        headers = {"X-Vault-Token": self.root_token if token is None else token}
        try:
            connection.request(method, f"/v1/{path}", body=body, headers=headers)
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        if response.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise OpenBaoError(response.status, text.strip())
        answer: Json = json_format.loads(text) if text else {}
        return answer

    def write_secret(
        self, path: str, values: Mapping[str, str], *, mount: str = "secret", cas: int | None = None
    ) -> int:
        """Write a KV v2 secret and return its version; `cas` is the version it must have now (0: none)."""
        options = {} if cas is None else {"cas": cas}
        answer = self.request("POST", f"{mount}/data/{path}", json={"data": dict(values), "options": options})
        return int(answer["data"]["version"])

    def read_secret(self, path: str, *, mount: str = "secret") -> dict[str, str] | None:
        """Return the values of the newest version of a KV v2 secret, or None without one."""
        answer = self._read(f"{mount}/data/{path}")
        return None if answer is None else dict(answer["data"]["data"])

    def secret_metadata(self, path: str, *, mount: str = "secret") -> Json | None:
        """Return the metadata of a KV v2 secret (`current_version`, `versions`, ...), or None without one."""
        answer = self._read(f"{mount}/metadata/{path}")
        return None if answer is None else dict(answer["data"])

    def put_policy(self, name: str, hcl: str) -> None:
        """Create or replace an ACL policy."""
        self.request("PUT", f"sys/policies/acl/{name}", json={"policy": hcl})

    def create_token(
        self,
        policies: Iterable[str],
        *,
        ttl: str = "1h",
        period: str | None = None,
        display_name: str = "test",
    ) -> str:
        """Create an orphan token with these policies; one with a `period` can be renewed forever.

        The audit log names it `token-DISPLAY_NAME`.
        """
        lifetime = {"ttl": ttl} if period is None else {"period": period}
        json = {"policies": list(policies), "no_parent": True, "display_name": display_name, **lifetime}
        return str(self.request("POST", "auth/token/create", json=json)["auth"]["client_token"])

    def enable_auth(self, kind: str, *, path: str | None = None) -> None:
        """Enable an auth method at `path` (its own name unless given), if it is not enabled there yet."""
        mount = path or kind
        if f"{mount}/" not in self.request("GET", "sys/auth")["data"]:
            self.request("POST", f"sys/auth/{mount}", json={"type": kind})

    def enable_kubernetes_auth(self, control_plane: ControlPlane, *, path: str = "kubernetes") -> None:
        """Let ServiceAccounts of a control plane log in; the control plane reviews each token (TokenReview)."""
        namespace, name = _REVIEWER
        control_plane.kubectl("apply", "--filename=-", stdin=_reviewer_manifest())
        self.enable_auth("kubernetes", path=path)
        config = {
            "kubernetes_host": control_plane.server,
            "kubernetes_ca_cert": control_plane.ca.read_text(),
            "token_reviewer_jwt": control_plane.service_account_token(namespace, name),
        }
        self.request("POST", f"auth/{path}/config", json=config)

    def put_kubernetes_role(
        self,
        role: str,
        *,
        service_account: str,
        policies: Iterable[str],
        path: str = "kubernetes",
        audience: str | None = None,
    ) -> None:
        """Let one ServiceAccount, NAMESPACE/NAME, log in and get `policies`; with an audience if given."""
        namespace, name = service_account.split("/")
        json: Json = {
            "bound_service_account_namespaces": namespace,
            "bound_service_account_names": name,
            "token_policies": list(policies),
        }
        self.request("POST", f"auth/{path}/role/{role}", json=json | ({"audience": audience} if audience else {}))

    def enable_jwt_auth(self, control_plane: ControlPlane, *, path: str = "jwt") -> None:
        """Let ServiceAccounts of a control plane log in; their tokens are verified by its public key."""
        self.enable_auth("jwt", path=path)
        keys = [control_plane.service_account_key.read_text()]
        self.request("POST", f"auth/{path}/config", json={"jwt_validation_pubkeys": keys})

    def put_jwt_role(
        self, role: str, *, service_account: str, policies: Iterable[str], audience: str, path: str = "jwt"
    ) -> None:
        """Let one ServiceAccount, NAMESPACE/NAME, log in and get `policies`."""
        json = {
            "role_type": "jwt",
            "user_claim": "sub",
            "bound_audiences": [audience],
            "bound_subject": f"system:serviceaccount:{service_account.replace('/', ':')}",
            "token_policies": list(policies),
        }
        self.request("POST", f"auth/{path}/role/{role}", json=json)

    def _read(self, path: str) -> Json | None:
        try:
            return self.request("GET", path)
        except OpenBaoError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise


def _reviewer_manifest() -> str:
    namespace, name = _REVIEWER
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": namespace},
    }
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "system:auth-delegator",
        },
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
    }
    return json_format.dumps({"apiVersion": "v1", "kind": "List", "items": [account, binding]})
