"""The settings of consents: how people connect a credential to an account, and the front that serves the pages."""

from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, HttpUrl, model_validator

from pipedrive_operator.config.sections import File, Section

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_LONGEST_URL: Final = 2048


def _require_usable_redirect(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    well_formed = parts.scheme in {"http", "https"} and parts.hostname and not parts.fragment and not parts.username
    if not well_formed or len(url) > _LONGEST_URL:
        raise ValueError("must be the callback URL as registered in Pipedrive, such as https://example.com/callback")
    return url


RedirectUri = Annotated[str, AfterValidator(_require_usable_redirect)]
"""Kept as it is written: Pipedrive compares it with the registered one, character by character."""


def _require_public(url: HttpUrl | None) -> HttpUrl | None:
    if url is None:
        return None
    if url.query or url.fragment or url.username or (url.scheme != "https" and url.host not in _LOOPBACK):
        raise ValueError("must start with https:// and have no query, such as https://connect.example.com")
    return url


class TlsSettings(Section):
    """The certificate of the front's port. The files are read again when they change."""

    cert_file: Annotated[File, Field(description="Certificate and its chain (PEM).")]
    key_file: Annotated[File, Field(description="Private key of the certificate (PEM).")]


class ConsentSettings(Section):
    """How people connect a credential to an account of Pipedrive, in a browser."""

    enabled: Annotated[
        bool,
        Field(description="Handle PipedriveConsent resources. When false, the operator ignores them."),
    ] = False
    public_url: Annotated[
        HttpUrl | None,
        AfterValidator(_require_public),
        Field(
            description="Address of the consent front, as browsers see it. Register this address followed by "
            "`/callback` as the app's callback URL, and this address as its installation URL. Unset without a front."
        ),
    ] = None
    operator_url: Annotated[
        HttpUrl | None,
        Field(
            description="Address of the operator's HTTP endpoint, where the front forwards uninstalls that Pipedrive "
            "reports. When unset, the front ignores them."
        ),
    ] = None
    address: Annotated[
        str, Field(description="Address that the front listens on. By default, all IPv4 addresses of the pod.")
    ] = "0.0.0.0"  # noqa: S104  browsers connect from outside the pod
    port: Annotated[int, Field(ge=0, le=65535, description="Port of the front's pages; 0 picks a free one.")] = 8443
    tls: Annotated[
        TlsSettings | None,
        Field(description="Serve the pages with TLS. Without it, a proxy in front must terminate TLS."),
    ] = None
    requests_per_second: Annotated[
        float,
        Field(gt=0, description="Rate limit of the front's requests to the API server, per replica."),
    ] = 50

    @property
    def public_address(self) -> str | None:
        """The public URL without a slash at its end; None without a front."""
        return None if self.public_url is None else str(self.public_url).rstrip("/")

    @model_validator(mode="after")
    def _require_enabled(self) -> Self:
        if self.public_url is not None and not self.enabled:
            raise ValueError("enabled must be true if publicUrl is set")
        return self
