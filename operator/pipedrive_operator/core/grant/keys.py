"""The keys of a grant in Vault, and those that a spec must not name for another purpose. No document is read here.

A secret would go to the wrong place: `users/me` gets what `apiToken.key` names, and a client id is a name that servers
log and quote. The CRD's rules and the operator's own check both use these tuples.
"""

import re
from typing import Final

from pipedrive_operator.core.grant.intent import MARKS
from pipedrive_operator.core.values.secret_value import SecretValue

CLIENT_ID: Final = "client_id"
GRANT_FIELDS: Final = (
    "access_token",
    "refresh_token",
    "refreshed_from",
    "first_refreshed_from",
    "refresh_count",
    "token_type",
    "expires_at",
    "expires_in",
    "obtained_at",
    "scope",
    "api_domain",
    "company_id",
    "company_domain",
    "user_id",
    "consent_uid",
    "consent_generation",
    CLIENT_ID,
)
"""The keys of a grant, without the marks of its refreshes. All are read and written in `grant.py`."""
CANDIDATE: Final = "consent_candidate"
"""The key of the grant of a consent that is not verified yet."""
OBSOLETE: Final = "consent_obsolete"
"""The key of the mark that names what was dropped or spent of earlier consents."""
_OF_A_GRANT: Final = (*(key for key in GRANT_FIELDS if key != CLIENT_ID), CANDIDATE, *MARKS)
NO_API_TOKEN: Final = (*_OF_A_GRANT, CLIENT_ID, "client_secret")
"""Keys that `spec.apiToken.key` must not name: those of a grant and of its client."""
NO_CLIENT_ID: Final = (*_OF_A_GRANT, "client_secret", "api_token")
"""Keys that `spec.oauth2.client.idKey` must not name."""
NO_CLIENT_SECRET: Final = (*_OF_A_GRANT, CLIENT_ID, "api_token")
"""Keys that `spec.oauth2.client.secretKey` must not name."""

_OF_A_GRANT_BY_FORM: Final = re.compile(r"v1u:.*|\d+:\d+:[0-9a-f]{40}|\d+\.\d+\.[0-9a-f]{40,}", re.DOTALL)
"""An access token, a refresh token (and an access token from before 2023), an authorization code. An API token has 40
hexadecimal digits, and no colon or dot (pipedrive.readme.io/docs/core-api-concepts-authentication)."""


def is_token_of_grant(value: SecretValue) -> bool:
    """Return whether a value has the form of an access token, a refresh token or an authorization code."""
    return _OF_A_GRANT_BY_FORM.fullmatch(value.reveal()) is not None
