"""What a person does to consent, in the same words in every message that asks for it. Text only.

It names the steps of OAuth2 (RFC 6749, section 4.1), which work everywhere. Where people can consent in a browser,
`core/decision/consent_hints.py` adds the command that does.
"""

from typing import Final

AFTER_UNKNOWN_OUTCOME: Final = (
    "The operator tries again after a pause. If Pipedrive refuses the refresh token then, the reason becomes "
    "ConsentRequired, and its message says how to consent again"
)
"""What follows a refresh whose outcome is unknown."""


def how_to_consent(path: str) -> str:
    """Return how a person obtains a new grant, and where in Vault it belongs; `path` is that of the grant."""
    return (
        "Consent again: as a user of that company, open the app's authorization URL, exchange the code that its "
        f"callback receives for tokens, and write the new refresh_token to {path} in Vault"
    )
