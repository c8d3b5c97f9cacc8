"""The types of the operator's settings. `loading.py` reads them; nothing here touches a file or the environment.

No secret is a setting: a secret is in a file, or in a Secret of the operator's namespace.
"""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import Field, HttpUrl, model_validator

from pipedrive_operator.config.consent import ConsentSettings, RedirectUri
from pipedrive_operator.config.sections import (
    INSECURE,
    File,
    PositiveDuration,
    Section,
    at_least,
    at_most,
    is_plain,
)
from pipedrive_operator.config.vault import VaultSettings
from pipedrive_operator.core.resource.shapes import Duration, Name, VaultPath
from pipedrive_operator.core.values.times import format_duration

LEASE_PER_TIMEOUT: Final = 2
"""How many times as long as Pipedrive's time-out the Lease must last.

The fence sends a refresh only while this replica leads for longer than the time-out, and a renewal makes it lead for
five sixths of the Lease. This factor keeps the fence open for a third of the Lease after each renewal. The leader
renews ten times per Lease, so it may miss two renewals in a row before refreshes pause.
"""


class AppSettings(Section):
    """An OAuth2 client that credentials can name instead of a path in Vault."""

    connection: Annotated[Name, Field(description="Vault connection that holds the client's document.")] = "default"
    mount: Annotated[VaultPath, Field(description="KV version 2 mount of the document.")] = "secret"
    path: Annotated[VaultPath, Field(description="Path of the document that contains the client id and secret.")]
    id_key: Annotated[str, Field(description="Key of the client id in the document.")] = "client_id"
    secret_key: Annotated[str, Field(description="Key of the client secret in the document.")] = "client_secret"
    allowed_namespaces: Annotated[
        tuple[str, ...],
        Field(description="Namespaces whose credentials may use the app; `*` matches any characters."),
    ]
    redirect_uri: Annotated[
        RedirectUri | None,
        Field(
            description="Callback URL that the app has registered in Pipedrive, exactly as it is written there. By "
            "default, the consent front's: `consent.publicUrl` followed by `/callback`."
        ),
    ] = None


class PipedriveSettings(Section):
    """How the operator reaches Pipedrive."""

    api_url: Annotated[
        HttpUrl, Field(description="Address of Pipedrive's API, for API tokens. Change it only in tests.")
    ] = HttpUrl("https://api.pipedrive.com")
    oauth_url: Annotated[
        HttpUrl, Field(description="Address of Pipedrive's OAuth2 server. Change it only in tests.")
    ] = HttpUrl("https://oauth.pipedrive.com")
    allowed_api_domains: Annotated[
        tuple[str, ...],
        Field(
            description="Patterns for the `api_domain` in a token response, which must match one of them. "
            "Change them only in tests."
        ),
    ] = ("https://*.pipedrive.com",)
    proxy: Annotated[
        HttpUrl | None,
        Field(
            description="HTTP proxy for requests to Pipedrive, without a user and password: those belong in "
            "`proxyCredentialsFile`. Proxy variables of the environment are ignored."
        ),
    ] = None
    proxy_credentials_file: Annotated[
        File | None,
        Field(description="File with `user:password` for the proxy, for instance a mounted Secret."),
    ] = None
    ca_file: Annotated[
        File | None,
        Field(description="CA certificates (PEM) to trust, for a proxy that presents a certificate of its own."),
    ] = None
    timeout: Annotated[
        PositiveDuration,
        at_most(timedelta(minutes=2)),
        Field(
            description="How long to wait for a response; at most 2m, and at most half of "
            "`leaderElection.leaseDuration`."
        ),
    ] = timedelta(seconds=15)
    requests_per_second: Annotated[
        float, Field(gt=0, description="Rate limit for verifying tokens, over all credentials.")
    ] = 50
    apps: Annotated[
        dict[Name, AppSettings],
        Field(description="OAuth2 clients, by the name that `spec.oauth2.client.app` refers to."),
    ] = {}
    insecure: Annotated[
        bool,
        Field(
            description="Accept plain HTTP to another machine in the addresses above. `check` and a metric show it. "
            "Set it only in tests."
        ),
    ] = False

    @property
    def plain_addresses(self) -> tuple[str, ...]:
        """The addresses to which tokens would travel unencrypted."""
        addresses = (str(self.api_url), str(self.oauth_url), *self.allowed_api_domains)
        return tuple(address for address in addresses if is_plain(address))

    @model_validator(mode="after")
    def _require_secrets_in_their_place(self) -> Self:
        if self.proxy is not None and (self.proxy.username or self.proxy.password):
            raise ValueError(
                "proxy must not contain a user or password, because settings are no secret: write user:password to a "
                "file, from a mounted Secret for instance, and set proxyCredentialsFile"
            )
        if self.proxy is None and self.proxy_credentials_file is not None:
            raise ValueError("proxyCredentialsFile is set and proxy is not: set proxy, or remove proxyCredentialsFile")
        if self.plain_addresses and not self.insecure:
            message = f"{self.plain_addresses[0]} {INSECURE.format(setting='pipedrive.insecure')}"
            raise ValueError(message)
        return self


class KubernetesSettings(Section):
    """How the operator reaches the API server: as a pod, or through a kubeconfig."""

    kubeconfig: Annotated[
        File | None, Field(description="A kubeconfig file. Without it, the pod's ServiceAccount is used.")
    ] = None
    context: Annotated[
        str | None, Field(description="Context of the kubeconfig. By default, the kubeconfig's current context.")
    ] = None
    cluster_name: Annotated[
        Name | None, Field(description="Value of `{cluster}` in pathPrefixes, for clusters that share a Vault.")
    ] = None
    namespaces: Annotated[
        tuple[Name, ...], Field(description="Namespaces to watch; an empty list means all namespaces.")
    ] = ()
    operator_namespace: Annotated[
        Name | None, Field(description="Namespace of the Lease and the escrow. By default, the pod's namespace.")
    ] = None
    timeout: Annotated[PositiveDuration, Field(description="How long to wait for a response.")] = timedelta(seconds=20)


class ControllerSettings(Section):
    """How often credentials are reconciled, and how many at once."""

    workers: Annotated[
        int, Field(ge=1, le=1000, description="How many credentials are reconciled at the same time.")
    ] = 20
    poll_interval: Annotated[
        PositiveDuration,
        Field(
            description="How often each document in Vault is read, to find changes made there. Each read comes up to a "
            "tenth of the interval early, so that not all come at once."
        ),
    ] = timedelta(minutes=5)
    verify_interval: Annotated[
        PositiveDuration,
        Field(description="How often a published token is verified with Pipedrive; spread in the same way."),
    ] = timedelta(hours=1)
    resync_interval: Annotated[
        PositiveDuration, Field(description="How often all objects are listed, to find what the watches missed.")
    ] = timedelta(minutes=10)


class RolloutSettings(Section):
    """Whether credentials may restart workloads, which requires the permission to patch them."""

    enabled: Annotated[
        bool,
        Field(description="Carry out `spec.rollout` of credentials. When false, it is ignored and the status says so."),
    ] = False
    min_interval: Annotated[
        PositiveDuration, Field(description="Minimum time between two restarts of the same workload.")
    ] = timedelta(minutes=10)


class LeaderElectionSettings(Section):
    """Which of several replicas acts."""

    enabled: Annotated[
        bool, Field(description="When false, run exactly one replica; nothing is renewed while it is being replaced.")
    ] = True
    lease_name: Annotated[Name, Field(description="Name of the Lease in the operator's namespace.")] = (
        "pipedrive-operator"
    )
    lease_duration: Annotated[
        Duration,
        at_least(timedelta(seconds=15)),
        Field(
            description="How long a replica that stopped renewing the Lease keeps it; at least 15s, and at least twice "
            "`pipedrive.timeout`."
        ),
    ] = timedelta(seconds=30)


class LogFormat(StrEnum):
    """The format of log lines."""

    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """The lowest severity that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogSettings(Section):
    """The log, on standard output."""

    format: Annotated[LogFormat, Field(description="`json`, or `console` for reading in a terminal.")] = LogFormat.JSON
    level: Annotated[LogLevel, Field(description="Lowest severity to log: `debug`, `info`, `warning` or `error`.")] = (
        LogLevel.INFO
    )


class HttpSettings(Section):
    """The HTTP endpoint for probes and metrics."""

    address: Annotated[str, Field(description="Address to listen on. By default, all IPv4 addresses of the pod.")] = (
        "0.0.0.0"  # noqa: S104  the kubelet connects from outside the pod
    )
    port: Annotated[int, Field(ge=0, le=65535, description="Port to listen on; 0 picks a free one.")] = 8080


class Settings(Section):
    """All settings of the operator."""

    pipedrive: PipedriveSettings = PipedriveSettings()
    vault: VaultSettings = VaultSettings()
    kubernetes: KubernetesSettings = KubernetesSettings()
    controller: ControllerSettings = ControllerSettings()
    rollout: RolloutSettings = RolloutSettings()
    consent: ConsentSettings = ConsentSettings()
    leader_election: LeaderElectionSettings = LeaderElectionSettings()
    log: LogSettings = LogSettings()
    http: HttpSettings = HttpSettings()

    @property
    def plain_connections(self) -> tuple[str, ...]:
        """The connections whose tokens travel unencrypted: names of Vault connections, and `pipedrive`."""
        vaults = tuple(f"vault {name}" for name, one in self.vault.connections.items() if one.is_plain)
        return (*vaults, *(("pipedrive",) if self.pipedrive.plain_addresses else ()))

    @model_validator(mode="after")
    def _require_cluster_name(self) -> Self:
        for name, connection in self.vault.connections.items():
            if self.kubernetes.cluster_name is None and any("{cluster}" in one for one in connection.path_prefixes):
                message = f"kubernetes.clusterName must be set: vault.connections.{name}.pathPrefixes uses {{cluster}}"
                raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _require_time_to_refresh(self) -> Self:
        lease, timeout = self.leader_election.lease_duration, self.pipedrive.timeout
        if self.leader_election.enabled and lease < LEASE_PER_TIMEOUT * timeout:
            message = (
                f"leaderElection.leaseDuration ({format_duration(lease)}) must be at least twice pipedrive.timeout "
                f"({format_duration(timeout)}), because a refresh is sent only while the Lease outlasts the time-out: "
                f"set leaderElection.leaseDuration to {format_duration(LEASE_PER_TIMEOUT * timeout)} or more, or "
                f"pipedrive.timeout to {format_duration(lease / LEASE_PER_TIMEOUT)} or less"
            )
            raise ValueError(message)
        return self
