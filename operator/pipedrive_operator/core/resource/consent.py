"""The PipedriveConsent resource as types: one request of one person to connect a credential to an account.

It ends when the account is connected or the link expires, as a CertificateRequest of cert-manager ends with a
certificate. Nothing is decided here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from pydantic import Field, TypeAdapter, ValidationError, WithJsonSchema

from pipedrive_operator.core.resource.metadata import read_metadata
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.resource.shapes import CONFIG as _CONFIG
from pipedrive_operator.core.resource.shapes import (
    AuthorizationCode,
    CodeDigest,
    Duration,
    ObjectName,
    Scope,
    State,
    StateDigest,
    Time,
)
from pipedrive_operator.core.resource.spec import AccountGuard
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.conditions import ConditionStatus
from pipedrive_operator.core.values.consent_reasons import ConsentConditionType, ConsentReason
from pipedrive_operator.core.values.errors import ApiServerUnavailable, InvalidSpec

DEFAULT_LIFETIME: Final = timedelta(minutes=30)
SHORTEST_LIFETIME: Final = timedelta(minutes=1)
LONGEST_LIFETIME: Final = timedelta(hours=24)
MOST_CODES: Final = 8
"""How many codes a status remembers: more than a consent may have."""
_END_OF_TIME: Final = datetime.max.replace(tzinfo=UTC, microsecond=0)
_Lifetime = Annotated[
    Duration,
    Field(ge=SHORTEST_LIFETIME, le=LONGEST_LIFETIME),
    WithJsonSchema({"type": "string", "minLength": 2, "maxLength": 18}),
]
_Url = Annotated[str, Field(max_length=4096)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What Pipedrive's redirect brought back."""

    __pydantic_config__ = _CONFIG
    code: AuthorizationCode
    """The authorization code. It is worthless without the client secret, and expires after five minutes."""
    state: State
    """The state, which proves that the answer belongs to this consent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentSpec:
    """Which credential to connect, and how the answer is verified. Only the answer can change."""

    __pydantic_config__ = _CONFIG
    credential: ObjectName
    """The PipedriveCredential of this namespace to connect."""
    state_digest: StateDigest
    """sha256: and the SHA-256 digest of the state that an answer must have. The command that creates the consent
    derives the state from the link's key."""
    lifetime: _Lifetime | None = None
    """How long the link can be used, counted from the creation: between 1m and 24h. Default: 30m."""
    allow_account_change: bool = False
    """Accept an account of another company than the one that the credential belongs to now. Default: false."""
    answer: Answer | None = None
    """What Pipedrive's redirect brought back, written by the consent front or the command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentCondition:
    """One condition as Kubernetes defines it (KEP-1623)."""

    type: ConsentConditionType
    status: ConditionStatus
    reason: ConsentReason
    message: str
    observed_generation: int
    last_transition_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentStatus:
    """What the operator last reported. The pages of the consent front show nothing else."""

    __pydantic_config__ = _CONFIG
    observed_generation: int | None = None
    """The metadata.generation that this status describes; -1 before the first pass."""
    conditions: Annotated[tuple[ConsentCondition, ...], Field(max_length=8)] = ()
    """Ready: the link can be used. Complete: the account is connected; while it is False, the reason says who acts
    next."""
    url: _Url | None = None
    """Pipedrive's authorization page for the client, without the state."""
    page_url: _Url | None = None
    """The page of the consent front, without the key. Absent unless the client's redirect URI is the front's."""
    redirect_uri: _Url | None = None
    """The redirect URI that the client has registered with Pipedrive."""
    expires_at: Time | None = None
    """When the link expires."""
    app: Annotated[str | None, Field(max_length=512)] = None
    """What people know the client by: the app in the operator's settings, or the client's path in Vault."""
    expected_account: AccountGuard | None = None
    """The account that the grant must belong to: the credential's guard, or else its pinned company. Absent if any
    account is accepted."""
    required_scopes: Annotated[
        tuple[Scope, ...], Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = ()
    """The scopes that the credential requires."""
    account: Account | None = None
    """The account that the person accepted for. It is connected only if Complete is True."""
    binding: Annotated[str | None, Field(max_length=128)] = None
    """A digest of what the link was prepared for: the credential's uid, its client and its path in Vault. If one of
    them changes, the consent ends."""
    claimed_codes: Annotated[
        tuple[CodeDigest, ...], Field(max_length=MOST_CODES, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = ()
    """The SHA-256 digests of the authorization codes that the operator has sent or was about to send. None of them is
    sent again."""

    def condition(self, wanted: ConsentConditionType) -> ConsentCondition | None:
        """Return the condition of that type; None if it is absent."""
        return next((condition for condition in self.conditions if condition.type is wanted), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """A PipedriveConsent as it was last seen."""

    key: Key
    uid: str
    generation: int
    """1 when it is created; each answer adds one, so it counts the answers."""
    resource_version: str
    created_at: datetime
    being_deleted: bool
    owner_references: tuple[Mapping[str, Any], ...]
    spec: ConsentSpec
    status: ConsentStatus

    @property
    def credential(self) -> Key:
        """The credential to connect."""
        return Key(namespace=self.key.namespace, name=self.spec.credential)

    @property
    def expires_at(self) -> datetime:
        """When the link expires, by the API server's clock."""
        return self.created_at + min(self.spec.lifetime or DEFAULT_LIFETIME, _END_OF_TIME - self.created_at)


CONSENT_SPEC: Final = TypeAdapter(ConsentSpec)
CONSENT_STATUS: Final = TypeAdapter(ConsentStatus)


def read_consent(body: Mapping[str, Any]) -> Consent:
    """Read a consent as the API server serves it.

    Raises:
        ApiServerUnavailable: its metadata cannot be read.
        InvalidSpec: an older CRD accepted its spec, and this version cannot read it.
    """
    metadata = read_metadata(body)
    if metadata.creation_timestamp is None:
        message = f"the API server returned consent {metadata.key} without a creationTimestamp"
        raise ApiServerUnavailable(message)
    return Consent(
        key=metadata.key,
        uid=metadata.uid,
        generation=metadata.generation,
        resource_version=metadata.resource_version,
        created_at=metadata.creation_timestamp,
        being_deleted=metadata.being_deleted,
        owner_references=metadata.owner_references,
        spec=_read_spec(body.get("spec") or {}),
        status=_read_status(body.get("status") or {}),
    )


def write_consent_status(status: ConsentStatus) -> dict[str, Any]:
    """Write a status as the API server takes it; an absent field is None, so that a merge patch removes it."""
    written: dict[str, Any] = CONSENT_STATUS.dump_python(status, mode="json", by_alias=True)
    return written


def _read_spec(raw: Mapping[str, Any]) -> ConsentSpec:
    try:
        return CONSENT_SPEC.validate_python(raw)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        message = f"spec.{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
        raise InvalidSpec(message) from None


def _read_status(raw: Mapping[str, Any]) -> ConsentStatus:
    try:
        return CONSENT_STATUS.validate_python(raw)
    except ValidationError:
        return ConsentStatus()
