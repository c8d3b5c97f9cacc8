"""Opens sessions with the API server: its address, certificates and tokens, from a kubeconfig or from the pod.

No resource is requested here. A session belongs to one event loop, so each loop opens its own.
"""

import json
import time
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import yaml
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.rest import RESTClientObject
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from pipedrive_operator import __version__
from pipedrive_operator.adapters.limits import HEADER_LIMITS
from pipedrive_operator.config.settings import KubernetesSettings
from pipedrive_operator.core.resource.names import FIELD_MANAGER
from pipedrive_operator.core.values.errors import ApiServerUnavailable

POD_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
USER_AGENT: Final = f"{FIELD_MANAGER}/{__version__}"
AUTHENTICATION: Final = "BearerToken"
"""The client library's name for the Authorization header."""
TOKEN_AGE: Final = 60.0
"""In seconds: how long a token from a kubeconfig is used before it is read again, as the library does in a pod."""

# With trust_env, aiohttp reads ~/.netrc in a thread for each request, and an entry there replaces our token.
_OF_EVERY_SESSION: Final[Mapping[str, Any]] = MappingProxyType({"trust_env": False, **HEADER_LIMITS})


def operator_namespace(settings: KubernetesSettings) -> str:
    """Return the operator's own namespace: from the settings, or else the pod's, or else `default`."""
    if settings.operator_namespace is not None:
        return settings.operator_namespace
    try:
        return POD_NAMESPACE.read_text().strip()
    except OSError:
        return "default"


def audiences_of(token: str) -> tuple[str, ...]:
    """Return the audiences and the issuer of a JSON Web Token (RFC 7519 section 4.1); nothing for any other text.

    The token is not verified. An API server without `--api-audiences` uses its issuer as its audience.
    """
    try:
        payload = token.split(".")[1]
        claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        audiences = claims.get("aud", ())
        return (*([audiences] if isinstance(audiences, str) else audiences), claims.get("iss", ""))
    except (AttributeError, LookupError, TypeError, ValueError):
        return ()


async def load_configuration(settings: KubernetesSettings) -> Configuration:
    """Read how to reach the API server. The token is kept current, even one from an exec plugin.

    Raises:
        ApiServerUnavailable: the configuration is missing or invalid.
    """
    configuration = Configuration()
    try:
        if settings.kubeconfig is None:
            load_incluster_config(client_configuration=configuration)
        else:
            await _load_kubeconfig(settings, configuration)
    except (ConfigException, OSError, ValueError, TypeError, yaml.YAMLError) as error:
        message = f"there is no usable configuration for the API server: {error}"
        raise ApiServerUnavailable(message) from error
    # From Python 3.13 on, a certificate without an Authority Key Identifier is refused by default. API servers of older
    # clusters and proxies that inspect TLS have such certificates, and kubectl accepts them.
    configuration.disable_strict_ssl_verification = True
    configuration.client_session_kwargs = dict(_OF_EVERY_SESSION)
    configuration.proxy = configuration.proxy or _proxy_from_environment(configuration.host)
    return configuration


async def open_client(settings: KubernetesSettings) -> "Client":
    """Open a client for the running loop; close it there.

    Raises:
        ApiServerUnavailable: the configuration is missing or invalid.
    """
    client = Client(await load_configuration(settings))
    client.user_agent = USER_AGENT
    return client


async def open_session(
    settings: KubernetesSettings, *middlewares: aiohttp.ClientMiddlewareType
) -> tuple[str, aiohttp.ClientSession]:
    """Open an authenticated session for the running loop; return the server's address and the session.

    The token is set on each request and not on the session, so that a watch survives the rotation of a token.

    Raises:
        ApiServerUnavailable: the configuration is missing or invalid.
    """
    configuration = await load_configuration(settings)
    return configuration.host, _Sessions(configuration).open(*middlewares)


class Client(ApiClient):
    """The library's client, which can read the file with the API server's CAs again: the kubelet replaces it."""

    def __init__(self, configuration: Configuration) -> None:
        """Use a configuration in the running loop."""
        super().__init__(configuration)
        self._ca = _ca_of(configuration)
        self._former: list[RESTClientObject] = []

    def trust_again(self) -> None:
        """Use new connections from the next request on, if the file was replaced. Others may still be in use."""
        ca = _ca_of(self.configuration)
        if ca in {None, self._ca}:
            return
        with suppress(OSError):  # half written: what was read before stays trusted
            former, self.rest_client = self.rest_client, RESTClientObject(self.configuration)
            self._former.append(former)
            self._ca = ca

    async def close(self) -> None:
        """Close all connections."""
        for one in (*self._former, self.rest_client):
            await one.close()


def _ca_of(configuration: Configuration) -> bytes | None:
    """Return what the file with the API server's CAs contains; None if there is none."""
    try:
        return Path(configuration.ssl_ca_cert).read_bytes() if configuration.ssl_ca_cert else None
    except OSError:
        return None


class _Sessions(RESTClientObject):
    """Opens sessions of our own with the TLS and proxy configuration of the client library."""

    def open(self, *middlewares: aiohttp.ClientMiddlewareType) -> aiohttp.ClientSession:
        self.configuration.client_session_kwargs = {
            **_OF_EVERY_SESSION,
            "headers": {"User-Agent": USER_AGENT},
            "middlewares": (self._authorize, *middlewares),
            "proxy": self.proxy,
        }
        return self._create_pool_manager()

    async def _authorize(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        token = await self.configuration.get_api_key_with_prefix(AUTHENTICATION)
        if token:
            request.headers["Authorization"] = token
        request.server_hostname = self.configuration.tls_server_name
        return await handler(request)


def _proxy_from_environment(server: str) -> str | None:
    """Return the proxy that the environment sets for a server, as kubectl does (HTTPS_PROXY, NO_PROXY)."""
    url = urlsplit(server)
    return None if proxy_bypass(url.netloc) else getproxies().get(url.scheme)


async def _load_kubeconfig(settings: KubernetesSettings, configuration: Configuration) -> None:
    loader = await load_kube_config(
        config_file=str(settings.kubeconfig),
        context=settings.context,
        client_configuration=configuration,
        persist_config=False,
    )
    # The library declares the type of this attribute by its default value, None.
    configuration.refresh_api_key_hook = _Reload(loader)  # type: ignore[assignment]


class _Loader(Protocol):
    async def load_and_set(self, client_configuration: Configuration) -> None: ...


class _Reload:
    """Reads a kubeconfig's user again when its token is a minute old.

    An exec plugin that reports when its token expires runs again only after that time.
    """

    def __init__(self, loader: _Loader) -> None:
        self._loader = loader
        self._due = time.monotonic() + TOKEN_AGE

    async def __call__(self, configuration: Configuration) -> None:
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + TOKEN_AGE  # before the first await, so that only one request reloads
        await self._loader.load_and_set(configuration)
