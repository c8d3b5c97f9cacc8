"""The settings of consents: which addresses the front may have, and which callback URLs an app."""

from pathlib import Path

import pytest

from pipedrive_operator.config.errors import SettingsError
from pipedrive_operator.config.loading import load_settings

URL_WANTED = "consent.publicUrl: must start with https:// and have no query, such as https://connect.example.com"
CALLBACK_WANTED = "must be the callback URL as registered in Pipedrive, such as https://example.com/callback"


def written(folder: Path, text: str) -> Path:
    """Write a settings file."""
    path = folder / "settings.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://connect.example.com", "https://connect.example.com"),
        ("https://example.com/connect/", "https://example.com/connect"),
        ("http://localhost:8443", "http://localhost:8443"),
    ],
)
def test_the_public_url_has_no_slash_at_its_end(tmp_path: Path, url: str, address: str) -> None:
    """Paths are appended to it. Browsers trust the loopback address without TLS."""
    settings = load_settings(written(tmp_path, f"consent: {{enabled: true, publicUrl: '{url}'}}"))

    assert address == settings.consent.public_address


@pytest.mark.parametrize(
    ("consent", "message"),
    [
        ("{enabled: true, publicUrl: 'http://connect.example.com'}", URL_WANTED),
        ("{enabled: true, publicUrl: 'https://connect.example.com/?a=b'}", URL_WANTED),
        ("{enabled: true, publicUrl: 'https://user@connect.example.com/'}", URL_WANTED),
        ("{publicUrl: 'https://connect.example.com'}", "consent: enabled must be true if publicUrl is set"),
        ("{enabled: true, requestsPerSecond: 0}", "consent.requestsPerSecond: must be a number above 0"),
    ],
)
def test_a_wrong_setting_is_refused(tmp_path: Path, consent: str, message: str) -> None:
    """A cookie of the front needs TLS, and a query would end up in the middle of its links."""
    with pytest.raises(SettingsError) as refused:
        load_settings(written(tmp_path, f"consent: {consent}"))

    assert message in str(refused.value)


@pytest.mark.parametrize("uri", ["https://n8n.example.com/rest/oauth2-credential/callback", "http://localhost:3000/cb"])
def test_the_redirect_uri_of_an_app_is_kept_as_it_is_written(tmp_path: Path, uri: str) -> None:
    """Pipedrive compares it character by character."""
    text = f"pipedrive: {{apps: {{crm: {{path: a, allowedNamespaces: [crm], redirectUri: '{uri}'}}}}}}"

    assert uri == load_settings(written(tmp_path, text)).pipedrive.apps["crm"].redirect_uri


@pytest.mark.parametrize("uri", ["example.com/cb", "ftp://example.com", "https://", "https://[x", "https://a/#b"])
def test_a_wrong_redirect_uri_is_refused(tmp_path: Path, uri: str) -> None:
    """Pipedrive would refuse it too, but only when a person has opened the link."""
    text = f"pipedrive: {{apps: {{crm: {{path: a, allowedNamespaces: [crm], redirectUri: '{uri}'}}}}}}"

    with pytest.raises(SettingsError) as refused:
        load_settings(written(tmp_path, text))

    assert f"pipedrive.apps.crm.redirectUri: {CALLBACK_WANTED}" in str(refused.value)
