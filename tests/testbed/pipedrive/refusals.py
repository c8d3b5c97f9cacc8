"""Every documented refusal of oauth.pipedrive.com: its code and its text, but not its status."""

from enum import Enum


class Refusal(Enum):
    """A refusal as `(error, message)`."""

    MISSING_GRANT_TYPE = ("invalid_request", "Missing parameter: grant_type")
    UNSUPPORTED_GRANT_TYPE = ("unsupported_grant_type", "Unsupported grant type: grant_type is invalid")
    CODE_INVALID = ("invalid_grant", "Invalid grant: authorization_code is invalid")
    CODE_EXPIRED = ("invalid_grant", "Invalid grant: authorization_code has expired")
    REFRESH_TOKEN_INVALID = ("invalid_grant", "Invalid grant: refresh_token is invalid")
    CLIENT_MISSING = ("invalid_client", "Invalid client: cannot retrieve client credentials")
    CLIENT_INVALID = ("invalid_client", "Invalid client: client is invalid")
    REDIRECT_NOT_A_URI = ("invalid_request", "Invalid request: redirect_uri is not a valid URI")
    REDIRECT_INVALID = ("invalid_request", "Invalid request: redirect_uri is invalid")
    CONTENT_TYPE = ("invalid_request", "Invalid request: content must be application/x-www-form-urlencoded")
    MISSING_TOKEN = ("invalid_request", "Missing parameter: token")

    @property
    def error(self) -> str:
        """The machine-readable code."""
        return self.value[0]

    @property
    def message(self) -> str:
        """The text for people."""
        return self.value[1]


class RefusedError(Exception):
    """The OAuth endpoint refuses the request."""

    def __init__(self, refusal: Refusal) -> None:
        """Refuse with one of the documented texts."""
        super().__init__(refusal.message)
        self.refusal = refusal
