"""What the messages about a missing or refused grant add: a reported uninstall, and the command that connects. Pure."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from pipedrive_operator.core.decision.decision import Decision
from pipedrive_operator.core.grant.grant import Grant
from pipedrive_operator.core.resource.credential import Credential
from pipedrive_operator.core.resource.spec import OAuth2
from pipedrive_operator.core.values.conditions import Reason
from pipedrive_operator.core.values.times import format_time

_ENDED_BY_CONSENT: Final = frozenset(
    {Reason.GRANT_MISSING, Reason.CONSENT_REQUIRED, Reason.SCOPE_MISSING, Reason.WRONG_ACCOUNT}
)


def pending_uninstall(credential: Credential, grant: Grant | None) -> datetime | None:
    """Return when an uninstall was reported, unless the grant was refreshed after that; None without a report."""
    reported_at = credential.status.uninstall_reported_at
    obtained_at = grant.token.obtained_at if grant is not None and grant.token is not None else None
    return reported_at if reported_at is not None and (obtained_at is None or obtained_at < reported_at) else None


def with_uninstall(decision: Decision, credential: Credential, grant: Grant | None) -> Decision:
    """Add the reported uninstall to the message about a grant that Pipedrive has refused."""
    reported_at = pending_uninstall(credential, grant)
    if decision.reason is not Reason.CONSENT_REQUIRED or reported_at is None:
        return decision
    reported = f"Pipedrive reported an uninstall at {format_time(reported_at)}"
    return replace(decision, message=f"{decision.message}. {reported}")


def with_command(decision: Decision, credential: Credential) -> Decision:
    """Add the command that connects an account, where that ends the problem and people can consent in a browser."""
    if decision.reason not in _ENDED_BY_CONSENT or not isinstance(credential.access, OAuth2):
        return decision
    command = f"kubectl pipedrive connect {credential.key.name} -n {credential.key.namespace}"
    hint = f"To consent in a browser instead, run `{command}`"
    if decision.reason is Reason.WRONG_ACCOUNT:
        hint = f"To connect in a browser, run `{command}`; to connect another company, add --allow-account-change"
    return replace(decision, message=f"{decision.message}. {hint}")
