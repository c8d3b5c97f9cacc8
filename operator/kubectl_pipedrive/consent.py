"""A `PipedriveConsent` as kubectl prints it, the manifest to create one, and what Pipedrive's redirect brings. Pure.

The key and the state are secret values. The link and the authorization page contain them, and nothing else that is
printed does.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from kubectl_pipedrive.credential import Credential, Json, map_at, text_at, time_at
from pipedrive_operator.core.resource.consent_link import Mode
from pipedrive_operator.core.resource.names import CONSENT_KIND, GROUP, KIND, VERSION, Key
from pipedrive_operator.core.values.consent_reasons import (
    CONSENT_EFFECTS,
    ConsentConditionType,
    ConsentEffect,
    ConsentReason,
    Stage,
)
from pipedrive_operator.core.values.secret_value import SecretValue

_LONGEST_NAME: Final = 63
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_LONGEST_QUOTE: Final = 60


@dataclass(frozen=True, slots=True)
class Consent:
    """One consent. `body` is the object as the API server serves it."""

    body: Json

    @property
    def status(self) -> Json:
        """The status."""
        return map_at(self.body, "status")

    @property
    def reason(self) -> ConsentReason | None:
        """The reason of Complete, which also says who acts next; None before the first report."""
        found = text_at(self._complete, "reason")
        return ConsentReason(found) if found in set(ConsentReason) else None

    @property
    def effect(self) -> ConsentEffect | None:
        """What the reason means."""
        return CONSENT_EFFECTS[self.reason] if self.reason is not None else None

    @property
    def message(self) -> str:
        """The message of Complete."""
        return text_at(self._complete, "message")

    @property
    def is_current(self) -> bool:
        """Whether the status is about the newest answer."""
        return self.status.get("observedGeneration") == map_at(self.body, "metadata").get("generation")

    @property
    def has_ended(self) -> bool:
        """Whether the link cannot be used any more: the account is connected, or another consent is needed."""
        return self.effect is not None and self.effect.stage in {Stage.CONNECTED, Stage.ENDED}

    @property
    def is_connected(self) -> bool:
        """Whether the account is connected."""
        return self.effect is not None and self.effect.stage is Stage.CONNECTED

    @property
    def url(self) -> str:
        """Pipedrive's authorization page, without the state; empty until the operator has prepared the link."""
        return text_at(self.status, "url")

    @property
    def page_url(self) -> str:
        """The page of the consent front, without the key; empty if the app does not use the front."""
        return text_at(self.status, "pageUrl")

    @property
    def redirect_uri(self) -> str:
        """The redirect URI that the app has registered."""
        return text_at(self.status, "redirectUri")

    @property
    def app(self) -> str:
        """What people know the client by."""
        return text_at(self.status, "app")

    @property
    def expires_at(self) -> datetime | None:
        """When the link expires."""
        return time_at(self.status, "expiresAt")

    @property
    def mode(self) -> Mode:
        """How Pipedrive's answer gets here."""
        if self.page_url:
            return Mode.HOSTED
        parts = urlsplit(self.redirect_uri)
        return Mode.LOOPBACK if parts.scheme == "http" and parts.hostname in _LOOPBACK else Mode.PASTE

    @property
    def account(self) -> str:
        """The account that the person accepted for, in words."""
        account = map_at(self.status, "account")
        domain, company, user = (account.get(key) for key in ("companyDomain", "companyId", "userId"))
        return f"{domain}.pipedrive.com (company {company}) as user {user}"

    @property
    def expected(self) -> str:
        """The company or user that the person must accept for, in words; empty if any account is accepted."""
        account = map_at(self.status, "expectedAccount")
        domain, company, user = (account.get(key) for key in ("companyDomain", "companyId", "userId"))
        place = f"{domain}.pipedrive.com" if domain else f"company {company}" if company else ""
        who = f"user {user}" if user else "a user"
        return f"{who} of {place}" if place else who if user else ""

    @property
    def _complete(self) -> Json:
        conditions = self.status.get("conditions") or ()
        return next((one for one in conditions if one.get("type") == ConsentConditionType.COMPLETE), {})


@dataclass(frozen=True, slots=True)
class ReceivedCode:
    """What Pipedrive's redirect brought: a code."""

    code: SecretValue


@dataclass(frozen=True, slots=True)
class NoCode:
    """Why a redirect brought no usable code."""

    why: str


def name_for(credential: Credential, suffix: str) -> str:
    """Return the name of a new consent, which becomes part of a cookie's name and must be short."""
    return f"{credential.name[: _LONGEST_NAME - len(suffix) - 1].rstrip('-.')}-{suffix}"


def manifest(
    credential: Credential, key: Key, *, digest: str, lifetime: str | None, allow_account_change: bool
) -> dict[str, Any]:
    """Return the manifest of a new consent. It is deleted with its credential."""
    owner = {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "name": credential.name, "uid": credential.uid}
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": CONSENT_KIND,
        "metadata": {"namespace": key.namespace, "name": key.name, "ownerReferences": [owner]},
        "spec": {
            "credential": credential.name,
            "stateDigest": digest,
            **({"lifetime": lifetime} if lifetime is not None else {}),
            **({"allowAccountChange": True} if allow_account_change else {}),
        },
    }


def answer_patch(code: SecretValue, state: SecretValue) -> dict[str, Any]:
    """Return the patch that hands a code to the operator."""
    return {"spec": {"answer": {"code": code.reveal(), "state": state.reveal()}}}


def read_query(query: str, state: SecretValue) -> ReceivedCode | NoCode:
    """Read the query of Pipedrive's redirect. A code counts only with the state of this link."""
    try:
        found = parse_qs(query, keep_blank_values=True, max_num_fields=20)
    except ValueError:
        return NoCode("the address cannot be read")
    if any(len(values) > 1 for values in found.values()):
        return NoCode("the address contains a parameter twice")
    single = {name: values[0] for name, values in found.items()}
    if SecretValue(single.get("state", "")) != state:
        return NoCode("the address belongs to another link")
    if "error" in single:
        refusal = single["error"][:_LONGEST_QUOTE]
        return NoCode(f"Pipedrive reports {refusal if refusal.isidentifier() else 'an error'}: it was declined")
    if not single.get("code"):
        return NoCode("the address contains no authorization code")
    return ReceivedCode(SecretValue(single["code"]))


def read_address(address: str, redirect_uri: str, state: SecretValue) -> ReceivedCode | NoCode:
    """Read an address that a person has copied from the browser after accepting."""
    try:
        parts, expected = urlsplit(address.strip()), urlsplit(redirect_uri)
    except ValueError:
        return NoCode("that is not an address")
    if (parts.scheme, parts.netloc, parts.path) != (expected.scheme, expected.netloc, expected.path):
        return NoCode(f"the address must begin with {redirect_uri}")
    return read_query(parts.query, state)
