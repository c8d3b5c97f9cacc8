"""Builders of values in a healthy state; a test changes one part with `replace` and checks what follows."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pipedrive_operator.core.decision.memory import Memory
from pipedrive_operator.core.decision.observation import Observation
from pipedrive_operator.core.decision.sources import AppRules, ConnectionRules, GrantWithClient, Rules
from pipedrive_operator.core.decision.timings import Timings
from pipedrive_operator.core.grant.client import ClientSource
from pipedrive_operator.core.grant.document import OPERATOR, Document, VaultLocation
from pipedrive_operator.core.grant.grant import Grant
from pipedrive_operator.core.grant.token import Accepted, Token, Verification
from pipedrive_operator.core.publication.secret import desired_secret, manifest
from pipedrive_operator.core.publication.target import TargetSecret, read_target
from pipedrive_operator.core.resource.credential import Credential, read_credential
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.secret_value import SecretValue
from support import manifests

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
KEY = Key(namespace="crm", name="acme")
ABSENT = Key(namespace="default", name="absent")
"""What no test creates."""
ACCOUNT = Account(company_id=12, company_domain="acme", user_id=34)
TIMINGS = Timings(poll_interval=timedelta(minutes=5), verify_interval=timedelta(hours=1))
GRANT_LOCATION = VaultLocation(connection="default", mount="secret", path="pipedrive/crm/acme")
TOKEN_LOCATION = VaultLocation(connection="default", mount="secret", path="pipedrive/crm/acme-token")
CLIENT_SOURCE = ClientSource(
    location=VaultLocation(connection="default", mount="secret", path="apps/crm-sync"),
    identity=OPERATOR,
    id_key="client_id",
    secret_key="client_secret",
)
GRANT_SOURCE = GrantWithClient(location=GRANT_LOCATION, identity=OPERATOR, client=CLIENT_SOURCE)
RULES = Rules(
    connections={
        "default": ConnectionRules(
            mounts=("secret",),
            path_prefixes=("pipedrive/{namespace}/",),
            allowed_namespaces=("*",),
            takes_tenants=True,
        )
    },
    apps={"crm-sync": AppRules(source=CLIENT_SOURCE, allowed_namespaces=("crm",))},
)
API_TOKEN_SPEC: dict[str, Any] = {"apiToken": {"path": TOKEN_LOCATION.path}, "account": {"companyDomain": "acme"}}
OAUTH2_SPEC: dict[str, Any] = {
    "oauth2": {"client": {"app": "crm-sync"}, "grant": {"path": GRANT_LOCATION.path}},
    "account": {"companyDomain": "acme"},
}


def resource(spec: dict[str, Any], *, name: str = KEY.name, **changes: Any) -> dict[str, Any]:
    """Build a resource as the API server serves it; `changes` go into its metadata."""
    metadata: dict[str, Any] = {
        "namespace": KEY.namespace,
        "name": name,
        "uid": f"uid-of-{name}",
        "resourceVersion": "100",
        "generation": 1,
        "creationTimestamp": "2026-03-01T00:00:00Z",
    }
    return manifests.credential(spec=spec, **{**metadata, **changes}) | {"status": {"observedGeneration": -1}}


def readable(body: dict[str, Any]) -> Credential:
    """Read a resource whose spec is known to be readable."""
    credential = read_credential(body)
    assert isinstance(credential, Credential)
    return credential


def api_token_credential(**changes: Any) -> Credential:
    """Build a credential with an API token; `changes` go into its metadata."""
    return readable(resource(API_TOKEN_SPEC, **changes))


def oauth2_credential(**oauth2: Any) -> Credential:
    """Build a credential with a grant; `oauth2` adds fields to spec.oauth2."""
    return readable(resource(OAUTH2_SPEC | {"oauth2": OAUTH2_SPEC["oauth2"] | oauth2}))


def api_token(value: str = "a" * 40) -> Token:
    """Build an API token."""
    return Token(value=SecretValue(value))


def access_token(value: str = "v1u:access", *, lifetime: timedelta = timedelta(hours=1), **changes: Any) -> Token:
    """Build an access token that was obtained now."""
    token = Token(
        value=SecretValue(value),
        obtained_at=NOW,
        expires_at=NOW + lifetime,
        scope=frozenset({"base", "deals:full"}),
        api_domain="https://acme.pipedrive.com",
    )
    return replace(token, **changes)


def grant(refresh_token: str = "12:34:first", **changes: Any) -> Grant:
    """Build a grant with a fresh access token, and with the scopes of its token in the form of a document."""
    made = replace(Grant(refresh_token=SecretValue(refresh_token), token=access_token()), **changes)
    return replace(made, scope=made.token.scope) if made.token is not None and "scope" not in changes else made


def document(location: VaultLocation, **values: object) -> Document:
    """Build the first version of a document as Vault serves it."""
    return Document(location=location, version=1, created_at=NOW, values=values)


def published(credential: Credential, accepted: Accepted, **metadata: Any) -> TargetSecret:
    """Build the Secret just as the operator publishes it; `metadata` adds what the API server or others add."""
    return read_target(published_body(credential, accepted, **metadata))


def published_body(credential: Credential, accepted: Accepted, **metadata: Any) -> dict[str, Any]:
    """Build the same Secret as the API server serves it."""
    body = manifest(desired_secret(credential, accepted))
    served = {"uid": "uid-of-secret", "resourceVersion": "200"} | body["metadata"] | metadata
    return body | {"metadata": served}


def up_to_date(credential: Credential, token: Token, held: Grant | None = None) -> Observation:
    """Build an observation for which the decision is to wait."""
    accepted = Accepted(token=token, account=ACCOUNT, verified_at=NOW, lineage=held.lineage if held else None)
    return Observation(
        now=NOW,
        credential=credential,
        timings=TIMINGS,
        memory=Memory(
            read_at=NOW,
            grant=held,
            token=token,
            verification=Verification(token=token, at=NOW, account=ACCOUNT),
            accepted=accepted,
        ),
        target=published(credential, accepted),
    )


def changed(seen: Observation, **changes: Any) -> Observation:
    """Change an observation; names of memory fields change its memory."""
    remembered = {name: changes.pop(name) for name in list(changes) if name in Memory.__dataclass_fields__}
    return replace(seen, memory=replace(seen.memory, **remembered), **changes)


def api_token_up_to_date() -> Observation:
    """Build an observation of a published API token."""
    return up_to_date(api_token_credential(), api_token())


def oauth2_up_to_date(**oauth2: Any) -> Observation:
    """Build an observation of a published access token; `oauth2` adds fields to spec.oauth2."""
    held = grant()
    return up_to_date(oauth2_credential(**oauth2), access_token(), held)
