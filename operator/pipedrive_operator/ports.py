"""What the decisions need from the world, as Protocols. Only types are defined here; adapters implement them.

A port returns None for what is absent and raises one of `core.errors` for what is broken. No port call is retried by
its adapter: whether to try again is the caller's decision.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol

from pipedrive_operator.core.grant.document import Document, TenantIdentity, VaultIdentity, VaultLocation
from pipedrive_operator.core.grant.grant import ClientCredentials, Grant, TokenResponse
from pipedrive_operator.core.grant.token import Token
from pipedrive_operator.core.publication.rollout import Workload
from pipedrive_operator.core.publication.target import TargetSecret
from pipedrive_operator.core.resource.credential import Credential
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.resource.workload import WorkloadReference
from pipedrive_operator.core.values.lease import Lease
from pipedrive_operator.core.values.secret_value import SecretValue


class Clock(Protocol):
    """The time. Nothing above the adapters reads another clock."""

    def now(self) -> datetime:
        """Return the time as an aware UTC datetime."""

    def monotonic(self) -> float:
        """Return seconds that never go backwards and mean nothing between processes."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class Vault(Protocol):
    """Documents of KV version 2 secrets engines. Nothing that one identity has read is told to another."""

    async def read(self, location: VaultLocation, identity: VaultIdentity) -> Document | None:
        """Return the newest version, without values if it was deleted; None where the path was never written.

        Raises:
            VaultUnavailable: no usable answer.
            VaultDenied: the login or the policy refuses; the message holds the stanza that would allow it.
            SourceMissing: there is no KV version 2 engine at the mount.
        """

    async def write(
        self, location: VaultLocation, values: Mapping[str, object], identity: VaultIdentity, *, cas: int
    ) -> int:
        """Write a version if the newest is `cas` (0: there is none yet), and return the new version's number.

        Raises:
            CheckAndSetConflict: the newest version is another; nothing was written.
            VaultUnavailable: no usable answer; the version may have been written all the same.
            VaultDenied: the login or the policy refuses.
        """


class LoginMaterial(Protocol):
    """What the cluster has for logging in to Vault: Secrets of the operator's, and tokens of tenants."""

    async def secret(self, name: str, key: str) -> SecretValue | None:
        """Return the value of a key of a Secret in the operator's namespace; None where Secret or key is absent.

        Raises:
            VaultDenied: the operator may not read it.
            VaultUnavailable: the API server gave no usable answer.
        """

    async def service_account_token(self, identity: TenantIdentity, audience: str) -> SecretValue:
        """Return a new token of the tenant's ServiceAccount, for that audience alone (TokenRequest).

        Raises:
            VaultDenied: there is no such ServiceAccount, or the operator may not have tokens of it.
            VaultUnavailable: the API server gave no usable answer.
        """


class Pipedrive(Protocol):
    """Pipedrive's token endpoint, and who a token is."""

    async def identify_api_token(self, value: SecretValue) -> Account:
        """Return the account of an API token.

        Raises:
            TokenRejected, AccountNotOpen: Pipedrive refuses.
            RateLimited, PipedriveUnavailable: ask again later.
        """

    async def identify_access_token(self, token: Token) -> Account:
        """Return the account of an access token, asked at its own `api_domain`. Raises as `identify_api_token` does."""

    async def refresh(
        self, client: ClientCredentials, refresh_token: SecretValue, *, fence: Callable[[], None]
    ) -> TokenResponse:
        """Spend a refresh token, once, and return the complete and checked answer (RFC 6749 section 6).

        `fence` is called at the last moment before the request leaves; if it raises, nothing is sent.

        Raises:
            FenceClosed: the fence was closed.
            ConsentRequired: invalid_grant.
            ClientRejected: invalid_client.
            AccountNotOpen: 402.
            RateLimited, PipedriveUnavailable: the request did not arrive, or was turned away unread.
            RefreshUncertain: the request was sent and its outcome is unknown.
            TokenResponseUnusable: it was carried out, and of the answer only the refresh token can be used.
        """


class Process(Protocol):
    """Who we are, and names for what we do."""

    @property
    def holder(self) -> str:
        """This process, told apart from every other, and told to people."""

    def new(self) -> str:
        """Return a name that nobody else uses."""


class Leadership(Protocol):
    """Whether this process is the one that acts."""

    def remaining(self) -> float:
        """Return for how many seconds from now it surely leads; 0 or less where it does not."""


class Leases(Protocol):
    """The Lease that the replicas share."""

    async def read(self) -> Lease | None:
        """Return the Lease. Raises ApiServerUnavailable."""

    async def write(self, lease: Lease) -> None:
        """Create it, or replace the one that was read.

        Raises:
            LeaseChanged: it is no longer as it was read.
            ApiServerUnavailable: no usable answer; it may have been written.
        """


class Escrow(Protocol):
    """A second place for what a refresh has won while Vault does not take it."""

    def holds(self, location: VaultLocation) -> bool:
        """Tell whether something is kept for a location, or may be, as far as this process knows."""

    async def find(self, location: VaultLocation) -> bool:
        """Look whether something is kept for a location, whoever kept it. Raises ApiServerUnavailable."""

    async def keep(self, location: VaultLocation, won: Grant, refresh_id: str, key: SecretValue) -> bool:
        """Keep a grant, so that only who knows the key can open it. Return whether it surely is; nothing is raised."""

    async def open(self, location: VaultLocation, key: SecretValue) -> Grant | None:
        """Return what is kept for a location; None where nothing is.

        Raises:
            GrantUnstored: it cannot be opened with this key.
        """

    async def drop(self, location: VaultLocation) -> None:
        """Let go of what is kept for a location. A failure is told, and not raised."""


class Secrets(Protocol):
    """Secrets in the cluster."""

    async def read(self, key: Key) -> TargetSecret | None:
        """Return the Secret. Raises ApiServerUnavailable."""

    async def create(self, manifest: Mapping[str, Any]) -> TargetSecret:
        """Create a Secret.

        Raises:
            SecretExists: the name is taken.
            NamespaceBeingDeleted: nothing can be created there any more.
            SecretWriteDenied: quota, admission or RBAC; the message quotes it.
            ApiServerUnavailable: no usable answer; it may have been created.
        """

    async def patch(self, key: Key, patch: Mapping[str, Any]) -> TargetSecret:
        """Apply a JSON merge patch (RFC 7386) that names the resourceVersion it was made for.

        Raises:
            SecretChanged: the Secret is at another resourceVersion, or gone.
            SecretWriteDenied: quota, admission, RBAC or immutability; the message quotes it.
            ApiServerUnavailable: no usable answer.
        """

    async def delete(self, target: TargetSecret) -> None:
        """Delete exactly that Secret (by uid and resourceVersion); one that is gone or changed is left alone.

        Raises SecretWriteDenied, ApiServerUnavailable.
        """


class Workloads(Protocol):
    """Deployments, StatefulSets and DaemonSets of others."""

    async def read(self, namespace: str, reference: WorkloadReference) -> Workload | None:
        """Return the workload.

        Raises:
            WorkloadDenied: RBAC; the message quotes it.
            ApiServerUnavailable: no usable answer.
        """

    async def patch(self, workload: Workload, patch: Mapping[str, Any]) -> None:
        """Apply a JSON merge patch (RFC 7386) that names the resourceVersion it was made for.

        Raises:
            WorkloadChanged: the workload is at another resourceVersion, or gone.
            WorkloadDenied: RBAC or admission; the message quotes it.
            ApiServerUnavailable: no usable answer; it may have been patched.
        """


class Credentials(Protocol):
    """Reporting on credentials."""

    async def patch_status(self, key: Key, status: Mapping[str, Any]) -> Credential | None:
        """Merge-patch the status and return the credential as it is then; None where it is gone.

        Raises ApiServerUnavailable.
        """

    async def record_event(self, credential: Credential, event: "Event") -> None:
        """Record an Event (events.k8s.io/v1) about a credential. Raises ApiServerUnavailable."""


class Event(Protocol):
    """What an Event tells."""

    @property
    def warning(self) -> bool:
        """Whether it is a Warning rather than Normal."""

    @property
    def reason(self) -> str:
        """The reason, CamelCase."""

    @property
    def message(self) -> str:
        """The sentence for people."""


WatchedKind = Literal["credential", "secret"]


class Watch(Protocol):
    """A watch of credentials and of the Secrets that carry our label."""

    @property
    def period(self) -> float:
        """Return how many seconds a sound watch lets pass, at most, before it asks the API server anew."""

    def age(self) -> float:
        """Return for how many seconds the API server has not answered."""

    def start(self) -> None:
        """Start watching, once."""

    def restart(self) -> None:
        """List and watch everything anew."""

    async def stop(self) -> None:
        """Stop watching, and wait until it has stopped."""


class Cache(Protocol):
    """What the watches have seen last, and what we ourselves wrote since."""

    def credential(self, key: Key) -> Credential | None:
        """Return a credential."""

    def sharing_grant(self, location: VaultLocation) -> Sequence[Credential]:
        """Return the credentials whose grant is at that location, the oldest first."""

    def secret(self, key: Key) -> TargetSecret | None:
        """Return a Secret that carries our label."""

    def secrets_of(self, credential: Credential) -> Sequence[TargetSecret]:
        """Return the Secrets labelled for a credential."""

    def keep_credential(self, credential: Credential) -> None:
        """Remember a credential as we wrote it, unless something newer was seen."""

    def keep_secret(self, target: TargetSecret) -> None:
        """Remember a Secret as we wrote it, unless something newer was seen."""

    def forget_secret(self, key: Key, resource_version: int) -> frozenset[Key]:
        """Forget a Secret that was gone at that resourceVersion; return the credentials that it concerns."""
