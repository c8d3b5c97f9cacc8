"""What messages add about consents: the command that connects, and a reported uninstall."""

from dataclasses import replace

import pytest

from pipedrive_operator.core.decision.consent_hints import with_command
from pipedrive_operator.core.decision.decision import Action, Decision
from pipedrive_operator.core.decision.policy import decide
from pipedrive_operator.core.values.conditions import Reason
from support.builders import GRANT_SOURCE, api_token_credential, changed, oauth2_credential, oauth2_up_to_date

COMMAND = "`kubectl pipedrive connect acme -n crm`"


def decision(reason: Reason) -> Decision:
    """Build a wait with a reason."""
    return Decision(action=Action.WAIT, reason=reason, message="What happened")


@pytest.mark.parametrize("reason", list(Reason))
def test_the_messages_that_a_consent_ends_name_the_command(reason: Reason) -> None:
    """No other message names it."""
    ends = {Reason.GRANT_MISSING, Reason.CONSENT_REQUIRED, Reason.SCOPE_MISSING, Reason.WRONG_ACCOUNT}

    message = with_command(decision(reason), oauth2_credential()).message

    assert (COMMAND in message) is (reason in ends)
    assert ("--allow-account-change" in message) is (reason is Reason.WRONG_ACCOUNT)


def test_an_api_token_cannot_be_connected() -> None:
    """A person writes it to Vault."""
    assert with_command(decision(Reason.WRONG_ACCOUNT), api_token_credential()) == decision(Reason.WRONG_ACCOUNT)


@pytest.mark.parametrize("can_connect", [True, False])
def test_the_command_is_named_only_where_consents_are_handled(*, can_connect: bool) -> None:
    """Elsewhere it would lead nowhere."""
    seen = changed(oauth2_up_to_date(), source=GRANT_SOURCE, grant=None, token=None, accepted=None, verification=None)

    found = decide(replace(seen, can_connect=can_connect))

    assert found is not None
    assert Reason.GRANT_MISSING is found.reason
    assert (COMMAND in found.message) is can_connect
