"""What to do next for one consent, decided from an observation, and the status that reports it. Pure.

A consent is one request of one person. It ends when an account is connected, when it cannot be used any more, or when
its lifetime is over; until then a person may open its link again after a failure.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final

from pipedrive_operator.core.decision.sources import GrantWithClient, Source
from pipedrive_operator.core.grant.token import expected_account
from pipedrive_operator.core.resource.consent import MOST_CODES, Consent, ConsentCondition, ConsentStatus
from pipedrive_operator.core.resource.consent_link import proves
from pipedrive_operator.core.resource.credential import AnyCredential, Credential
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.conditions import ConditionStatus
from pipedrive_operator.core.values.consent_reasons import (
    CONSENT_EFFECTS,
    OPEN_AGAIN,
    ConsentConditionType,
    ConsentReason,
    Stage,
)
from pipedrive_operator.core.values.errors import InvalidSpec
from pipedrive_operator.core.values.mask import reportable
from pipedrive_operator.core.values.secret_value import SecretValue

KEPT_FOR: Final = timedelta(hours=1)
"""How long a consent that has ended is kept, so that its pages and its status can be read.

One that allows another company is kept longer while its credential does not belong to that company yet.
"""
KEPT_AT_MOST: Final = timedelta(days=28)
"""How long a consent that allows another company is kept at most after its end.

That is far longer than an outage, in which nobody can say whose its grant is. A change that was made and then undone by
hand looks like one that is still to come, and its consent would stay for ever.
"""
MOST_ANSWERS: Final = 5
"""How many answers one consent may have: each costs a call to Pipedrive."""
_IN_PROGRESS: Final = frozenset({ConsentReason.CODE_RECEIVED, ConsentReason.VERIFYING})
_DOUBTS: Final = _IN_PROGRESS | {ConsentReason.UNCERTAIN}


class ConsentAction(Enum):
    """What the reconciler of consents can do."""

    WAIT = auto()
    """Nothing, until something changes or the consent expires."""
    REPORT = auto()
    """Write a status."""
    PREPARE = auto()
    """Read the client from Vault, and report the link."""
    EXCHANGE = auto()
    """Exchange the code in the answer."""
    CONCLUDE = auto()
    """Find the outcome of a code that a process sent, or may have sent, before it died."""
    DELETE = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentObservation:
    """Everything that is known about a consent before deciding."""

    now: datetime
    consent: Consent
    credential: AnyCredential | None
    source: Source | InvalidSpec | None
    """The source of the credential, or what is wrong with its spec."""
    redirect_uri: str | None
    """The redirect URI of the credential's client; None if it is not known."""
    newer: str | None = None
    """The name of a newer consent for the same credential."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentDecision:
    """What to do next with a consent."""

    action: ConsentAction
    reason: ConsentReason | None = None
    message: str = ""
    until: datetime | None = None
    """When a wait ends by itself."""


def decide_consent(seen: ConsentObservation) -> ConsentDecision:
    """Return what to do next."""
    consent = seen.consent
    if consent.being_deleted:
        return ConsentDecision(action=ConsentAction.WAIT)
    return _of_one_that_ended(seen) or _of_an_open_one(seen)


def _of_one_that_ended(seen: ConsentObservation) -> ConsentDecision | None:
    """Return what to do with a consent that has ended, or whose code was claimed; None for any other."""
    consent = seen.consent
    if (ended_at := end_of(consent)) is not None:
        if seen.now < ended_at + KEPT_FOR:
            return ConsentDecision(action=ConsentAction.WAIT, until=ended_at + KEPT_FOR)
        if seen.now < ended_at + KEPT_AT_MOST and _allows_a_change_to_come(seen):
            return ConsentDecision(action=ConsentAction.WAIT, until=seen.now + KEPT_FOR)
        return ConsentDecision(action=ConsentAction.DELETE)
    if reason_of(consent) is ConsentReason.VERIFYING and _of_an_open_one(seen).action is ConsentAction.EXCHANGE:
        return None  # a newer answer does not wait until Pipedrive has decided about the one before
    if reason_of(consent) in _IN_PROGRESS:
        return ConsentDecision(action=ConsentAction.CONCLUDE)
    return None


def _allows_a_change_to_come(seen: ConsentObservation) -> bool:
    """Return whether the credential still belongs to another company than the one that this consent allows.

    Its token may not be verified yet, and without the consent it would be one of the wrong company. Of several consents
    only the newest is kept for this.
    """
    consent, credential = seen.consent, seen.credential
    if not consent.spec.allow_account_change or reason_of(consent) is not ConsentReason.CONNECTED:
        return False
    if seen.newer is not None or credential is None or credential.being_deleted:
        return False
    pinned, allowed = credential.status.account, consent.status.account
    return pinned is not None and allowed is not None and pinned.company_id != allowed.company_id


def _of_an_open_one(seen: ConsentObservation) -> ConsentDecision:
    consent = seen.consent
    problem = _problem(seen)
    if problem is not None:
        return ConsentDecision(action=ConsentAction.REPORT, reason=problem[0], message=problem[1])
    if consent.status.binding is None:
        return ConsentDecision(action=ConsentAction.PREPARE)
    answer = consent.spec.answer
    if answer is None or consent.generation == consent.status.observed_generation:
        return ConsentDecision(action=ConsentAction.WAIT, until=consent.expires_at)
    if not proves(answer.state, consent.spec.state_digest):
        message = (
            "An answer was rejected, because its state (an OAuth2 parameter) is not that of this link: it came from an "
            f"older link, or from another browser. Nothing was changed: {OPEN_AGAIN}"
        )
        return ConsentDecision(action=ConsentAction.REPORT, reason=ConsentReason.STATE_MISMATCH, message=message)
    if answer.code.digest() in consent.status.claimed_codes:
        message = (
            "This authorization code came back after another one, perhaps because an old page was loaded again. A code "
            f"works once: {OPEN_AGAIN}"
        )
        return ConsentDecision(action=ConsentAction.REPORT, reason=ConsentReason.CODE_REFUSED, message=message)
    return ConsentDecision(action=ConsentAction.EXCHANGE)


def reason_of(consent: Consent) -> ConsentReason | None:
    """Return the reason that the status reports; None before the first report."""
    complete = consent.status.condition(ConsentConditionType.COMPLETE)
    return complete.reason if complete is not None else None


def end_of(consent: Consent) -> datetime | None:
    """Return when a consent ended; None if it has not."""
    reason, ready = reason_of(consent), consent.status.condition(ConsentConditionType.READY)
    if reason is None or ready is None or CONSENT_EFFECTS[reason].stage not in {Stage.CONNECTED, Stage.ENDED}:
        return None
    return ready.last_transition_time


def is_news(consent: Consent, generation: int, reason: ConsentReason, *, was_claimed: bool = True) -> bool:
    """Return whether to report how the answer of a generation fares: other processes may have reported meanwhile.

    A connected account always is news while the consent is open. Otherwise only the newest answer counts, and a doubt
    does not replace what is known about it. A candidate that waits to be verified replaces an uncertain end.
    `was_claimed` is False if the code was not sent by who found that out: another process may have claimed it since.
    """
    if end_of(consent) is not None:
        return False
    if not was_claimed and consent.status.observed_generation == generation:
        return False
    observed = observed_generation(consent)
    if reason is ConsentReason.CONNECTED or observed < generation:
        return True
    return observed == generation and (reason not in _DOUBTS or reason_of(consent) in _DOUBTS)


def observed_generation(consent: Consent) -> int:
    """Return the generation of the newest answer that was handled; a restored status may name one that is to come."""
    return min(consent.status.observed_generation or 0, consent.generation)


def binding(credential: Credential, source: GrantWithClient) -> str:
    """Return a digest of what a link is prepared for: the credential, its client, and its grant's place in Vault."""
    location, key_names = source.location, (source.client.id_key, source.client.secret_key)
    parts = (
        credential.uid,
        (location.connection, str(location)),
        str(source.identity),
        (source.client.location.connection, str(source.client.location)),
        key_names,
    )
    return f"sha256:{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}"


def reported(
    consent: Consent, reason: ConsentReason, message: str, now: datetime, *, account: Account | None = None
) -> ConsentStatus:
    """Build the status of a consent whose newest answer, if any, was handled."""
    stage = CONSENT_EFFECTS[reason].stage
    is_ready = stage in {Stage.OPEN, Stage.BUSY} and reason is not ConsentReason.PENDING
    conditions = (
        _condition(consent, ConsentConditionType.READY, reason, message, now, holds=is_ready),
        _condition(consent, ConsentConditionType.COMPLETE, reason, message, now, holds=stage is Stage.CONNECTED),
    )
    return replace(
        consent.status,
        observed_generation=consent.generation,
        conditions=conditions,
        expires_at=consent.expires_at,
        account=account or consent.status.account,
    )


def claimed(consent: Consent, code: SecretValue, now: datetime) -> ConsentStatus:
    """Build the status of a consent whose code is about to be sent."""
    message = "Pipedrive's authorization code has arrived and is being exchanged"
    status = reported(consent, ConsentReason.CODE_RECEIVED, message, now)
    return replace(status, claimed_codes=(*status.claimed_codes, code.digest())[-MOST_CODES:])


def prepared(
    consent: Consent,
    credential: Credential,
    source: GrantWithClient,
    *,
    url: str,
    page_url: str | None,
    redirect_uri: str,
    app: str,
    required_scopes: tuple[str, ...],
    pinned: Account | None,
    now: datetime,
) -> ConsentStatus:
    """Build the status of a consent whose link can be used."""
    status = reported(consent, ConsentReason.WAITING, "The link can be used", now)
    return replace(
        status,
        observed_generation=1,
        url=url,
        page_url=page_url,
        redirect_uri=redirect_uri,
        app=app,
        expected_account=expected_account(
            credential.spec.account, pinned, allows_change=consent.spec.allow_account_change
        ),
        required_scopes=required_scopes,
        binding=binding(credential, source),
    )


def _problem(seen: ConsentObservation) -> tuple[ConsentReason, str] | None:
    """Return why the consent ends now, or None."""
    consent, credential = seen.consent, seen.credential
    if seen.newer is not None:
        return ConsentReason.SUPERSEDED, f"Consent {seen.newer} for the same credential is newer: use its link"
    if seen.now >= consent.expires_at:
        return ConsentReason.EXPIRED, "The link was not used in time: create another consent"
    if consent.generation - 1 > MOST_ANSWERS:
        return ConsentReason.TOO_MANY_ANSWERS, f"The link was used more than {MOST_ANSWERS} times without success"
    usable = _usable(credential, seen.source, seen.redirect_uri)
    if isinstance(usable, str):
        reason = ConsentReason.INVALID if consent.status.binding is None else ConsentReason.CREDENTIAL_CHANGED
        return reason, f"{usable}. Nothing was changed"
    owners = {owner["uid"] for owner in consent.owner_references if owner.get("name") == consent.spec.credential}
    is_other = bool(owners) and usable[0].uid not in owners
    if is_other or consent.status.binding not in {None, binding(*usable)}:
        message = (
            "The credential was recreated, or its client or its path in Vault was changed, after the link was created. "
            "Nothing was changed: create another consent"
        )
        return ConsentReason.CREDENTIAL_CHANGED, message
    return None


def _usable(
    credential: AnyCredential | None, source: Source | InvalidSpec | None, redirect_uri: str | None
) -> tuple[Credential, GrantWithClient] | str:
    """Return the credential and its source if it can be connected, or else why not."""
    if credential is None or credential.being_deleted:
        return "The credential does not exist, or is being deleted"
    if isinstance(source, InvalidSpec):
        return f"The credential cannot be connected: {source.message}"
    if not isinstance(credential, Credential) or not isinstance(source, GrantWithClient):
        return "The credential does not use OAuth2, so that no account can be connected to it"
    if credential.spec.suspend:
        return "The credential is suspended: unset spec.suspend, then create another consent"
    if redirect_uri is None:
        return (
            "The redirect URI of the credential's client is not known: set pipedrive.apps.NAME.redirectUri or "
            "consent.publicUrl in the operator's settings"
        )
    return credential, source


def _condition(
    consent: Consent, kind: ConsentConditionType, reason: ConsentReason, message: str, now: datetime, *, holds: bool
) -> ConsentCondition:
    status = ConditionStatus.TRUE if holds else ConditionStatus.FALSE
    before = consent.status.condition(kind)
    is_same = before is not None and before.status is status
    since = before.last_transition_time if before is not None and is_same else now.replace(microsecond=0)
    return ConsentCondition(
        type=kind,
        status=status,
        reason=reason,
        message=reportable(message),
        observed_generation=consent.generation,
        last_transition_time=since,
    )
