"""What the operator needs from the outside, as Protocols. Only types are defined here; adapters implement them.

A port returns None for what is absent and raises an error of `core.values.errors` for what is broken. No adapter
retries a call: whether to try again is the caller's decision.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from pipedrive_operator.core.decision.sources import GrantUser, Source
from pipedrive_operator.core.grant.client import ClientCredentials
from pipedrive_operator.core.grant.document import Document, TenantIdentity, VaultIdentity, VaultLocation
from pipedrive_operator.core.grant.grant import Grant, TokenResponse
from pipedrive_operator.core.grant.succession import EscrowedGrant
from pipedrive_operator.core.grant.token import Token
from pipedrive_operator.core.publication.rollout import Workload
from pipedrive_operator.core.publication.target import TargetSecret
from pipedrive_operator.core.resource.consent import Answer, Consent, ConsentStatus
from pipedrive_operator.core.resource.credential import AnyCredential
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.resource.workload import WorkloadReference
from pipedrive_operator.core.values.errors import InvalidSpec
from pipedrive_operator.core.values.lease import Lease
from pipedrive_operator.core.values.secret_value import SecretValue


class Clock(Protocol):
    """The time. Nothing outside the adapters reads any other clock."""

    def now(self) -> datetime:
        """Return the time as an aware UTC datetime."""

    def monotonic(self) -> float:
        """Return seconds that never go backwards; they cannot be compared between processes."""

    async def sleep(self, seconds: float) -> None:
        """Wait for that many seconds."""


class Vault(Protocol):
    """Documents of KV version 2 secrets engines. What one Vault identity has read is never returned to another."""

    async def read(self, location: VaultLocation, identity: VaultIdentity) -> Document | None:
        """Return the newest version, without values if it was deleted; None if the path was never written.

        Raises:
            VaultUnavailable: no usable answer.
            VaultDenied: the login or the policy refuses; the message contains the policy stanza that would allow it.
            SourceMissing: there is no KV version 2 engine at the mount, or a refresh could not write the document back.
        """

    async def write(
        self, location: VaultLocation, values: Mapping[str, object], identity: VaultIdentity, *, cas: int
    ) -> int:
        """Write a version if the newest one is `cas` (0 if none exists), and return the number of the new version.

        Raises:
            CheckAndSetConflict: the newest version is not `cas`; nothing was written.
            VaultUnavailable: no usable answer; the version may have been written nevertheless.
            VaultDenied: the login or the policy refuses.
        """


class LoginMaterial(Protocol):
    """What the cluster provides for logging in to Vault: Secrets of the operator, and tokens of tenants."""

    async def secret(self, name: str, key: str) -> SecretValue | None:
        """Return the value of a key of a Secret in the operator's namespace; None if Secret or key does not exist.

        Raises:
            VaultDenied: the operator may not read it.
            VaultUnavailable: the API server gave no usable answer.
        """

    async def service_account_token(self, identity: TenantIdentity, audience: str) -> SecretValue:
        """Return a new token of the tenant's ServiceAccount, valid for that audience only (TokenRequest).

        Raises:
            VaultDenied: the ServiceAccount does not exist, or the operator may not request its tokens.
            VaultUnavailable: the API server gave no usable answer.
        """


class Pipedrive(Protocol):
    """Pipedrive's token endpoint, and the account that a token belongs to."""

    @property
    def call_timeout(self) -> timedelta:
        """How long a call of the token endpoint takes at most; the answer to one that was sent is awaited longer."""

    async def identify_api_token(self, value: SecretValue) -> Account:
        """Return the account of an API token.

        Raises:
            TokenRejected, AccountNotOpen: Pipedrive refuses the token.
            RateLimited, PipedriveUnavailable: no answer about the token; try again later.
        """

    async def identify_access_token(self, token: Token) -> Account:
        """Return the account of an access token, from its own `api_domain`. Raises what `identify_api_token` raises."""

    async def refresh(
        self, client: ClientCredentials, refresh_token: SecretValue, *, fence: Callable[[], Awaitable[None]]
    ) -> TokenResponse:
        """Send a refresh token, once, and return the complete and checked answer (RFC 6749 section 6).

        `fence` is awaited at the last moment before the request is sent; if it raises, nothing is sent.

        Raises:
            FenceClosed: the fence was closed.
            ConsentRequired: invalid_grant.
            ClientRejected: invalid_client.
            AccountNotOpen: 402.
            RateLimited, PipedriveUnavailable: the request did not arrive, or was rejected without being processed.
            RefreshUncertain: the request was sent and its outcome is unknown.
            TokenResponseUnusable: the refresh succeeded, and only the refresh token of the answer can be used.
        """

    async def exchange(
        self, client: ClientCredentials, code: SecretValue, redirect_uri: str, *, fence: Callable[[], Awaitable[None]]
    ) -> TokenResponse:
        """Send an authorization code, once, and return the complete and checked answer (RFC 6749 section 4.1.3).

        `fence` is called at the last moment before the request is sent; if it raises, nothing is sent.

        Raises:
            FenceClosed: the fence was closed.
            ConsentRequired: invalid_grant: the code was refused.
            ClientRejected: the client or its redirect URI was refused.
            AccountNotOpen: 402.
            RateLimited, PipedriveUnavailable: the request did not arrive, or was rejected without being processed.
            RefreshUncertain: the request was sent, and no usable refresh token came back.
            TokenResponseUnusable: the exchange succeeded, and only the refresh token of the answer can be used.
        """


class Process(Protocol):
    """The name of this process, and unique names for what it does."""

    @property
    def holder(self) -> str:
        """A name for this process that no other process has and that people can read."""

    def new(self) -> str:
        """Return a name that was never used before."""


class Leadership(Protocol):
    """Whether this process is the leader."""

    def remaining(self) -> float:
        """Return for how many more seconds this process certainly leads; 0 or less if it does not lead."""


class Leases(Protocol):
    """The Lease that the replicas share."""

    async def read(self) -> Lease | None:
        """Return the Lease. Raises ApiServerUnavailable."""

    async def write(self, lease: Lease) -> None:
        """Create it, or replace the one that was read.

        Raises:
            LeaseChanged: it was changed since it was read.
            ApiServerUnavailable: no usable answer; it may have been written.
        """


class Escrow(Protocol):
    """Encrypted copies of refreshed grants, one for each refresh whose result Vault has not stored yet."""

    def holds(self, location: VaultLocation) -> bool:
        """Return whether an escrow exists, or may exist, for a location, as far as this process knows."""

    def appeared(self, location: VaultLocation) -> bool:
        """Return whether the last list of all escrows has shown one for a location that was not known before."""

    async def keep(self, location: VaultLocation, grant: Grant, refresh_id: str, key: SecretValue) -> bool:
        """Store the result of a refresh, encrypted with the key, beside those of other refreshes.

        Return whether the cluster certainly holds it now; nothing is raised.
        """

    async def open(self, location: VaultLocation, key: SecretValue) -> Sequence[EscrowedGrant]:
        """Return all grants in escrow for a location as the cluster holds them now, whichever process kept them.

        Candidates that were set aside are left out if they cannot be decrypted: nothing waits for them.

        Raises:
            GrantUnstored: one of them cannot be decrypted with this key.
            ApiServerUnavailable: no usable answer.
        """

    async def drop(self, location: VaultLocation, refresh_id: str) -> None:
        """Delete the escrow of a refresh. A failure is counted, not raised."""


class Secrets(Protocol):
    """Secrets in the cluster."""

    async def read(self, key: Key) -> TargetSecret | None:
        """Return the Secret. Raises ApiServerUnavailable."""

    async def create(self, manifest: Mapping[str, Any]) -> TargetSecret:
        """Create a Secret.

        Raises:
            SecretExists: a Secret of that name exists.
            NamespaceBeingDeleted: nothing can be created in the namespace any more.
            SecretWriteDenied: quota, admission or RBAC; the message quotes it.
            ApiServerUnavailable: no usable answer; the Secret may have been created.
        """

    async def patch(self, key: Key, patch: Mapping[str, Any]) -> TargetSecret:
        """Apply a JSON merge patch (RFC 7386) that names the resourceVersion it applies to.

        Raises:
            SecretChanged: the Secret is at another resourceVersion, or gone.
            SecretWriteDenied: quota, admission, RBAC or immutability; the message quotes it.
            ApiServerUnavailable: no usable answer.
        """

    async def delete(self, target: TargetSecret) -> None:
        """Delete exactly that Secret (by uid and resourceVersion). Do nothing if it is gone or changed.

        Raises SecretWriteDenied, ApiServerUnavailable.
        """


class Workloads(Protocol):
    """Deployments, StatefulSets and DaemonSets that use a Secret."""

    async def read(self, namespace: str, reference: WorkloadReference) -> Workload | None:
        """Return the workload; None if it does not exist.

        Raises:
            WorkloadDenied: RBAC; the message quotes it.
            ApiServerUnavailable: no usable answer.
        """

    async def patch(self, workload: Workload, patch: Mapping[str, Any]) -> None:
        """Apply a JSON merge patch (RFC 7386) that names the resourceVersion it applies to.

        Raises:
            WorkloadChanged: the workload is at another resourceVersion, or gone.
            WorkloadDenied: RBAC or admission; the message quotes it.
            ApiServerUnavailable: no usable answer; the workload may have been patched.
        """


class Credentials(Protocol):
    """Statuses of credentials, and Events about them."""

    async def patch_status(self, key: Key, status: Mapping[str, Any]) -> AnyCredential | None:
        """Merge-patch the status and return the patched credential; None if it is gone.

        Raises ApiServerUnavailable.
        """

    async def record_event(self, credential: AnyCredential, event: "Event") -> None:
        """Record an Event (events.k8s.io/v1) about a credential. Raises ApiServerUnavailable."""


class Consents(Protocol):
    """Statuses of consents, and their deletion."""

    async def patch_status(self, consent: Consent, status: ConsentStatus) -> Consent | None:
        """Replace the status of a consent if it is as it was seen, and return it; None if it changed or is gone.

        Raises ApiServerUnavailable: no usable answer; the status may have been written.
        """

    async def delete(self, consent: Consent) -> None:
        """Delete a consent if it is as it was seen. Raises ApiServerUnavailable."""


class ConsentCache(Protocol):
    """The latest consents from the watch and from our own writes."""

    def consent(self, key: Key) -> Consent | None:
        """Return a consent."""

    @property
    def keys(self) -> Collection[Key]:
        """The keys of all consents."""

    def newest(self, credential: Key) -> Consent | None:
        """Return the newest consent for a credential that is not being deleted."""

    def allowing_change(self, credential: Key) -> frozenset[str]:
        """Return the uids of the consents for a credential that allow another company than the pinned one."""

    def keep(self, consent: Consent) -> None:
        """Keep a consent as we wrote it, unless a newer one is known."""


class Event(Protocol):
    """The content of an Event."""

    @property
    def warning(self) -> bool:
        """Whether it is a Warning rather than Normal."""

    @property
    def reason(self) -> str:
        """The reason, in CamelCase."""

    @property
    def message(self) -> str:
        """The sentence for people."""


WatchedKind = Literal["credential", "secret", "consent"]


class ConsentAnswers(Protocol):
    """Consents, as the consent front sees them. Every method raises ApiServerUnavailable."""

    async def read(self, key: Key) -> Consent | None:
        """Return a consent, or None if it does not exist or its spec cannot be read."""

    async def answer(self, consent: Consent, answer: Answer) -> bool:
        """Store an answer; return False if the consent no longer exists, or was deleted and created again."""


class Watch(Protocol):
    """A watch of credentials and of the Secrets that have our label."""

    @property
    def period(self) -> float:
        """Return the longest time in seconds between two requests of a working watch."""

    def age(self) -> float:
        """Return how many seconds ago the API server last answered."""

    def start(self) -> None:
        """Start watching, once."""

    def restart(self) -> None:
        """List and watch everything from the start."""

    async def stop(self) -> None:
        """Stop watching, and return once it has stopped."""


class Cache(Protocol):
    """The latest objects from the watches and from our own writes."""

    @property
    def keys(self) -> Collection[Key]:
        """The keys of all credentials."""

    def credential(self, key: Key) -> AnyCredential | None:
        """Return a credential."""

    def source(self, key: Key) -> Source | InvalidSpec:
        """Return the source of a credential that is cached, or what is wrong with its spec."""

    def grant_user(self, key: Key) -> GrantUser | None:
        """Return a credential with its source; None if it names no grant, or does not exist."""

    def oldest_sharer(self, location: VaultLocation, identity: VaultIdentity) -> GrantUser | None:
        """Return the oldest credential whose grant is at that location and is read with that Vault identity."""

    def secret(self, key: Key) -> TargetSecret | None:
        """Return a Secret that has our label."""

    def secrets_of(self, credential: AnyCredential) -> Sequence[TargetSecret]:
        """Return the Secrets labelled for a credential."""

    def keep_credential(self, credential: AnyCredential) -> None:
        """Keep a credential as we wrote it, unless a newer one is known."""

    def keep_secret(self, target: TargetSecret) -> None:
        """Keep a Secret as we wrote it, unless a newer one is known."""

    def forget_secret(self, key: Key, resource_version: int) -> frozenset[Key]:
        """Forget a Secret that was gone at that resourceVersion; return the credentials that this affects."""
