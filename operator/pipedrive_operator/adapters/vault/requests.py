"""The typed façade of hvac: Vault's API as coroutines. Only here is hvac known.

hvac's API classes return whatever their adapter returns, so an adapter whose `request` is a coroutine makes them
asynchronous (https://github.com/hvac/hvac/issues/646). Methods that look into the answer, such as `kv.v2.patch`, must
not be used here. `hvac.Client` is left out: it reads VAULT_ADDR, VAULT_TOKEN and ~/.vault-token.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, cast

from hvac.adapters import Adapter
from hvac.api.auth_methods import JWT, AppRole, Kubernetes, Token
from hvac.api.secrets_engines import KvV2
from hvac.api.system_backend import SystemBackend

from pipedrive_operator.adapters.vault.exchange import Answer, Request
from pipedrive_operator.core.values.secret_value import SecretValue

LOGIN: Final = "login"
"""The operation of every request that a login consists of."""
Send = Callable[[Request], Awaitable[Answer]]
"""Makes one request. Raises VaultUnavailable."""


class VaultRequests:
    """The requests that we make; each names the token that it is made with. All raise VaultUnavailable."""

    def __init__(self, send: Send) -> None:
        """Make them through `send`."""
        self._send = send

    async def read(self, token: SecretValue, mount: str, path: str) -> Answer:
        """Read the newest version of a KV v2 document."""
        kv = KvV2(_AsyncAdapter(self._send, "read", token))
        return await _answer(kv.read_secret_version(path, mount_point=mount, raise_on_deleted_version=True))

    async def write(
        self, token: SecretValue, mount: str, path: str, *, values: Mapping[str, object], cas: int
    ) -> Answer:
        """Write a version of a KV v2 document by check-and-set."""
        kv = KvV2(_AsyncAdapter(self._send, "write", token))
        return await _answer(kv.create_or_update_secret(path, dict(values), cas=cas, mount_point=mount))

    async def mount(self, token: SecretValue, mount: str) -> Answer:
        """Ask what is mounted there, which whoever may do anything below it may ask."""
        return await _AsyncAdapter(self._send, "mount", token).request("get", f"/v1/sys/internal/ui/mounts/{mount}")

    async def log_in_with_kubernetes(self, mount: str, role: str, jwt: SecretValue) -> Answer:
        """Log in with a ServiceAccount's token."""
        auth = Kubernetes(_AsyncAdapter(self._send, LOGIN))
        # With use_token, hvac would look for a token in the answer, which is a coroutine yet.
        return await _answer(auth.login(role, jwt.reveal(), use_token=False, mount_point=mount))

    async def log_in_with_jwt(self, mount: str, role: str, jwt: SecretValue) -> Answer:
        """Log in with a JWT."""
        auth = JWT(_AsyncAdapter(self._send, LOGIN))
        return await _answer(auth.jwt_login(role, jwt.reveal(), use_token=False, path=mount))

    async def log_in_with_approle(self, mount: str, role_id: str, secret_id: SecretValue) -> Answer:
        """Log in with a role_id and a secret_id."""
        auth = AppRole(_AsyncAdapter(self._send, LOGIN))
        return await _answer(auth.login(role_id, secret_id.reveal(), use_token=False, mount_point=mount))

    async def log_in_with_certificate(self, mount: str, role: str) -> Answer:
        """Log in with the certificate that the connection shows; hvac's own method wants to know of its files."""
        adapter = _AsyncAdapter(self._send, LOGIN)
        return await adapter.request("post", f"/v1/auth/{mount}/login", json={"name": role})

    async def revoke(self, token: SecretValue) -> Answer:
        """Let a token die, by itself."""
        return await _answer(Token(_AsyncAdapter(self._send, "revoke", token)).revoke_self())

    async def capabilities(self, token: SecretValue, paths: list[str]) -> Answer:
        """Ask what a token may do with paths."""
        system = SystemBackend(_AsyncAdapter(self._send, "capabilities", token))
        return await _answer(system.get_capabilities(paths))

    async def look_up(self, token: SecretValue) -> Answer:
        """Ask how long a token lives: the login of who has one already."""
        return await _answer(Token(_AsyncAdapter(self._send, LOGIN, token)).lookup_self())

    async def renew(self, token: SecretValue) -> Answer:
        """Prolong a token."""
        return await _answer(Token(_AsyncAdapter(self._send, "renew", token)).renew_self())

    async def seal_status(self) -> Answer:
        """Ask whether the server is initialised and unsealed."""
        return await _answer(SystemBackend(_AsyncAdapter(self._send, "seal_status")).read_seal_status())


class _AsyncAdapter(Adapter):  # type: ignore[misc]  # hvac has no types
    """Hands over one request of hvac's, with its token."""

    def __init__(self, send: Send, operation: str, token: SecretValue | None = None) -> None:
        # The base class would open a session of the requests library.
        self._send = send
        self._operation = operation
        self._secret = token

    async def request(self, method: str, url: str, **kwargs: Any) -> Answer:  # noqa: ANN401  as hvac passes them
        request = Request(
            operation=self._operation,
            method=method.upper(),
            path=url,
            token=self._secret,
            json=kwargs.get("json"),
            params=kwargs.get("params"),
        )
        return await self._send(request)

    def get_login_token(self, response: Answer) -> str:
        return str(response.auth["client_token"])


async def _answer(pending: object) -> Answer:
    return await cast("Awaitable[Answer]", pending)
