"""What to do next for a consent: one table for each stage of its life."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from pipedrive_operator.core.decision.consents import (
    KEPT_AT_MOST,
    KEPT_FOR,
    MOST_ANSWERS,
    ConsentAction,
    ConsentObservation,
    binding,
    claimed,
    decide_consent,
    end_of,
    is_news,
    prepared,
    reason_of,
    reported,
)
from pipedrive_operator.core.decision.sources import ApiTokenSource
from pipedrive_operator.core.resource.consent import Answer, Consent, read_consent
from pipedrive_operator.core.resource.consent_link import digest_of, key_from, state_of
from pipedrive_operator.core.resource.credential import Credential
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.conditions import ConditionStatus
from pipedrive_operator.core.values.consent_reasons import (
    CONSENT_EFFECTS,
    ConsentConditionType,
    ConsentReason,
    Stage,
)
from pipedrive_operator.core.values.errors import InvalidSpec
from pipedrive_operator.core.values.mask import LONGEST_MESSAGE
from pipedrive_operator.core.values.secret_value import SecretValue
from support.builders import ACCOUNT, GRANT_SOURCE, TOKEN_LOCATION, api_token_credential, oauth2_credential
from support.builders import NOW as CREATED_AT

KEY = Key(namespace="crm", name="acme-x1")
STATE = state_of(key_from(b"k" * 32), KEY)
NOW = CREATED_AT + timedelta(minutes=1)
API_TOKEN_SOURCE = ApiTokenSource(location=TOKEN_LOCATION, identity=GRANT_SOURCE.identity, key="api_token")
OTHER_COMPANY = Account(company_id=99, company_domain="other", user_id=7)
REDIRECT_URI = "https://connect.example.com/callback"
ENDED = [reason for reason in ConsentReason if CONSENT_EFFECTS[reason].stage in {Stage.CONNECTED, Stage.ENDED}]


def consent(**spec: Any) -> Consent:
    """Build a consent as a person creates it."""
    body = {
        "metadata": {
            "namespace": KEY.namespace,
            "name": KEY.name,
            "uid": "consent-uid",
            "resourceVersion": "1",
            "generation": 1,
            "creationTimestamp": CREATED_AT.isoformat(),
        },
        "spec": {"credential": "acme", "stateDigest": digest_of(STATE), **spec},
    }
    return read_consent(body)


def waiting(**spec: Any) -> Consent:
    """Build a consent whose link can be used."""
    made = consent(**spec)
    guarded = oauth2_credential()
    status = prepared(
        made,
        replace(guarded, spec=replace(guarded.spec, account=None)),
        GRANT_SOURCE,
        url="https://oauth.pipedrive.com/oauth/authorize?client_id=client",
        page_url=None,
        redirect_uri=REDIRECT_URI,
        app="crm-sync",
        required_scopes=("base",),
        pinned=ACCOUNT,
        now=CREATED_AT,
    )
    return replace(made, status=status)


def answered(state: SecretValue = STATE, *, times: int = 1) -> Consent:
    """Build a consent with an answer that was not handled yet."""
    made = waiting()
    return replace(
        made, generation=1 + times, spec=replace(made.spec, answer=Answer(code=SecretValue("1.2.code"), state=state))
    )


def seen(of: Consent, now: datetime = NOW, **changes: Any) -> ConsentObservation:
    """Build an observation that is correct except for the changes."""
    plain: dict[str, Any] = {
        "now": now,
        "consent": of,
        "credential": oauth2_credential(),
        "source": GRANT_SOURCE,
        "redirect_uri": REDIRECT_URI,
    }
    return ConsentObservation(**(plain | changes))


def test_the_link_of_a_new_consent_is_prepared() -> None:
    """The next decision waits for a person."""
    assert ConsentAction.PREPARE is decide_consent(seen(consent())).action

    found = decide_consent(seen(waiting()))

    assert (ConsentAction.WAIT, CREATED_AT + timedelta(minutes=30)) == (found.action, found.until)


def test_an_answer_is_exchanged_once() -> None:
    """A status about it shows that it was handled."""
    made = answered()
    assert ConsentAction.EXCHANGE is decide_consent(seen(made)).action

    refused = replace(made, status=reported(made, ConsentReason.CODE_REFUSED, "Refused", NOW))

    assert ConsentAction.WAIT is decide_consent(seen(refused)).action


def test_a_code_that_comes_back_after_another_one_is_refused() -> None:
    """An old page of Pipedrive's redirect was loaded again. RFC 6749 section 4.1.2: a code must not be used twice."""
    made = answered()
    code = SecretValue("1.2.code")
    first = replace(made, status=claimed(made, code, NOW))
    second = replace(first, generation=3, status=claimed(first, SecretValue("another"), NOW))
    failed = replace(second, status=reported(second, ConsentReason.UNCERTAIN, "Nobody knows", NOW))

    decision = decide_consent(seen(replace(failed, generation=4)))

    assert (ConsentAction.REPORT, ConsentReason.CODE_REFUSED) == (decision.action, decision.reason)
    assert (code.digest(), SecretValue("another").digest()) == failed.status.claimed_codes


@pytest.mark.parametrize("reason", [ConsentReason.CODE_RECEIVED, ConsentReason.VERIFYING])
def test_a_claimed_code_is_concluded_whatever_else_has_changed(reason: ConsentReason) -> None:
    """It may have been sent, so that even an expired consent needs its outcome."""
    made = answered()
    in_flight = replace(made, status=reported(made, reason, "Claimed", NOW))

    found = decide_consent(seen(in_flight, NOW + timedelta(days=1), credential=None, newer="acme-x2"))

    assert ConsentAction.CONCLUDE is found.action


@pytest.mark.parametrize(
    ("held", "reported_before", "generation", "reason", "expected"),
    [
        (ConsentReason.CODE_RECEIVED, 2, 2, ConsentReason.UNCERTAIN, True),
        (ConsentReason.WAITING, 1, 2, ConsentReason.UNCERTAIN, True),
        (ConsentReason.CLIENT_REJECTED, 2, 2, ConsentReason.UNCERTAIN, False),
        (ConsentReason.CLIENT_REJECTED, 2, 2, ConsentReason.VERIFYING, False),
        (ConsentReason.UNCERTAIN, 2, 2, ConsentReason.VERIFYING, True),
        (ConsentReason.WAITING, 9, 3, ConsentReason.CODE_EXPIRED, True),
        (ConsentReason.UNCERTAIN, 2, 2, ConsentReason.CLIENT_REJECTED, True),
        (ConsentReason.CODE_RECEIVED, 3, 2, ConsentReason.CLIENT_REJECTED, False),
        (ConsentReason.CODE_RECEIVED, 3, 2, ConsentReason.CONNECTED, True),
        (ConsentReason.SUPERSEDED, 2, 2, ConsentReason.CONNECTED, False),
    ],
)
def test_what_is_known_of_the_newest_answer_is_reported(
    held: ConsentReason, reported_before: int, generation: int, reason: ConsentReason, *, expected: bool
) -> None:
    """Other processes may have reported meanwhile."""
    handled = replace(answered(), generation=reported_before)
    handled = replace(handled, generation=3, status=reported(handled, held, "", NOW))

    assert is_news(handled, generation, reason) == expected


@pytest.mark.parametrize(("reported_before", "expected"), [(1, True), (2, False), (3, False), (9, True)])
def test_that_a_code_was_not_sent_is_news_until_a_process_has_claimed_it(
    reported_before: int, *, expected: bool
) -> None:
    """The status of a restored consent, which names an answer that is to come, claims nothing."""
    newest = 2 if reported_before != 3 else 3
    handled = replace(answered(), generation=reported_before)
    status = reported(handled, ConsentReason.CODE_RECEIVED, "", NOW)
    handled = replace(handled, generation=newest, status=status)

    assert is_news(handled, 2, ConsentReason.CODE_EXPIRED, was_claimed=False) == expected


def test_an_answer_with_another_state_is_reported_and_not_sent() -> None:
    """The state is that of another link."""
    found = decide_consent(seen(answered(SecretValue("another"))))

    assert (ConsentAction.REPORT, ConsentReason.STATE_MISMATCH) == (found.action, found.reason)


@pytest.mark.parametrize("reason", ENDED)
def test_a_consent_that_has_ended_is_kept_for_an_hour_and_then_deleted(reason: ConsentReason) -> None:
    """Its pages and its status can be read until then."""
    made = answered()
    ended = replace(made, status=reported(made, reason, "The end", NOW))
    assert NOW == end_of(ended)

    kept, late = (decide_consent(seen(ended, NOW + age)) for age in (KEPT_FOR - timedelta(seconds=1), KEPT_FOR))

    assert (ConsentAction.WAIT, NOW + KEPT_FOR) == (kept.action, kept.until)
    assert ConsentAction.DELETE is late.action


def allowing_ended(reason: ConsentReason = ConsentReason.CONNECTED) -> Consent:
    """Build a consent that ended for another company, which it allowed."""
    made = waiting(allowAccountChange=True)
    return replace(made, status=reported(made, reason, "The end", NOW, account=OTHER_COMPANY))


def belonging_to(account: Account | None) -> Credential:
    """Build a credential whose status names an account."""
    made = oauth2_credential()
    return replace(made, status=replace(made.status, account=account))


def test_a_consent_that_allows_another_company_is_kept_until_its_credential_belongs_to_that() -> None:
    """Pipedrive may state no account for hours. Without the consent, the token would be one of the wrong company."""
    late = NOW + 3 * KEPT_FOR

    found = decide_consent(seen(allowing_ended(), late, credential=belonging_to(ACCOUNT)))

    assert (ConsentAction.WAIT, late + KEPT_FOR) == (found.action, found.until)


def test_a_consent_that_allows_another_company_is_kept_for_four_weeks_at_most() -> None:
    """The change may have been made, and undone by hand since."""
    found = [
        decide_consent(seen(allowing_ended(), NOW + age, credential=belonging_to(ACCOUNT))).action
        for age in (KEPT_AT_MOST - timedelta(seconds=1), KEPT_AT_MOST)
    ]

    assert [ConsentAction.WAIT, ConsentAction.DELETE] == found


@pytest.mark.parametrize(
    ("of", "changes"),
    [
        (allowing_ended(), {"credential": belonging_to(OTHER_COMPANY)}),
        (allowing_ended(), {"credential": belonging_to(None)}),
        (allowing_ended(), {"credential": None}),
        (allowing_ended(), {"credential": replace(belonging_to(ACCOUNT), being_deleted=True)}),
        (allowing_ended(), {"credential": belonging_to(ACCOUNT), "newer": "acme-x2"}),
        (allowing_ended(ConsentReason.EXPIRED), {"credential": belonging_to(ACCOUNT)}),
        (replace(allowing_ended(), spec=waiting().spec), {"credential": belonging_to(ACCOUNT)}),
    ],
    ids=[
        "belongs to it",
        "belongs to none",
        "no credential",
        "deleted",
        "newer consent",
        "not connected",
        "not allowed",
    ],
)
def test_a_consent_is_not_kept_longer_for_nothing(of: Consent, changes: dict[str, Any]) -> None:
    """Of several consents for a credential, at most the newest stays."""
    assert ConsentAction.DELETE is decide_consent(seen(of, NOW + KEPT_FOR, **changes)).action


def test_a_consent_that_is_being_deleted_is_left_alone() -> None:
    """Nothing is written into it."""
    assert ConsentAction.WAIT is decide_consent(seen(replace(answered(), being_deleted=True))).action


def test_a_consent_without_a_report_has_neither_reason_nor_end() -> None:
    """It is new."""
    assert (None, None) == (reason_of(consent()), end_of(consent()))


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"newer": "acme-x2"}, ConsentReason.SUPERSEDED, "acme-x2"),
        ({"now": CREATED_AT + timedelta(minutes=30)}, ConsentReason.EXPIRED, "not used in time"),
        ({"credential": None}, ConsentReason.CREDENTIAL_CHANGED, "does not exist"),
        (
            {"credential": replace(oauth2_credential(), being_deleted=True)},
            ConsentReason.CREDENTIAL_CHANGED,
            "being deleted",
        ),
        ({"source": InvalidSpec("no such app")}, ConsentReason.CREDENTIAL_CHANGED, "no such app"),
        (
            {
                "credential": api_token_credential(),
                "source": ApiTokenSource(location=TOKEN_LOCATION, identity=GRANT_SOURCE.identity, key="api_token"),
            },
            ConsentReason.CREDENTIAL_CHANGED,
            "does not use OAuth2",
        ),
        (
            {"credential": replace(oauth2_credential(), spec=replace(oauth2_credential().spec, suspend=True))},
            ConsentReason.CREDENTIAL_CHANGED,
            "suspended",
        ),
        ({"redirect_uri": None}, ConsentReason.CREDENTIAL_CHANGED, "redirect URI"),
        ({"credential": replace(oauth2_credential(), uid="another")}, ConsentReason.CREDENTIAL_CHANGED, "recreated"),
        (
            {"source": replace(GRANT_SOURCE, location=replace(GRANT_SOURCE.location, path="elsewhere"))},
            ConsentReason.CREDENTIAL_CHANGED,
            "path in Vault was changed",
        ),
    ],
)
def test_an_open_consent_ends_when_it_cannot_be_used_any_more(
    changes: dict[str, Any], reason: ConsentReason, words: str
) -> None:
    """The report says why, and an answer that waits is not sent."""
    found = decide_consent(seen(answered(), **changes))

    assert (ConsentAction.REPORT, reason) == (found.action, found.reason)
    assert words in found.message


def test_a_credential_that_cannot_be_connected_makes_a_new_consent_invalid() -> None:
    """No link was prepared for it."""
    assert ConsentReason.INVALID is decide_consent(seen(consent(), redirect_uri=None)).reason


def test_a_consent_belongs_to_the_credential_that_owns_it() -> None:
    """A credential of the same name may have been created since."""
    owner = {"kind": "PipedriveCredential", "name": "acme", "uid": "of the former one"}

    found = decide_consent(seen(replace(consent(), owner_references=(owner,))))

    assert ConsentReason.CREDENTIAL_CHANGED is found.reason


@pytest.mark.parametrize(("times", "action"), [(MOST_ANSWERS, ConsentAction.EXCHANGE), (6, ConsentAction.REPORT)])
def test_a_link_takes_five_answers(times: int, action: ConsentAction) -> None:
    """Each one costs a call to Pipedrive."""
    assert action is decide_consent(seen(answered(times=times))).action


def test_a_prepared_link_says_what_it_is_for() -> None:
    """It names the expected account, and is bound to the credential, its client and its path."""
    status = waiting().status

    assert (REDIRECT_URI, "crm-sync", ("base",)) == (status.redirect_uri, status.app, status.required_scopes)
    assert status.expected_account is not None
    assert ACCOUNT.company_id == status.expected_account.company_id
    assert binding(oauth2_credential(), GRANT_SOURCE) == status.binding
    assert 1 == status.observed_generation


def test_another_company_is_expected_only_if_the_consent_allows_it() -> None:
    """Then the pinned company is no guard."""
    assert waiting(allowAccountChange=True).status.expected_account is None


def test_a_condition_keeps_the_time_of_its_last_change() -> None:
    """It is not complete before and after a failure, which is no change, and a message is masked and shortened."""
    made = answered()
    first = reported(made, ConsentReason.CODE_REFUSED, "Refused", NOW)
    later = reported(
        replace(made, status=first), ConsentReason.UNCERTAIN, "x" * 2 * LONGEST_MESSAGE, NOW + timedelta(hours=1)
    )

    complete = later.condition(ConsentConditionType.COMPLETE)

    assert complete is not None
    assert (ConditionStatus.FALSE, CREATED_AT) == (complete.status, complete.last_transition_time)
    assert len(complete.message) <= LONGEST_MESSAGE
