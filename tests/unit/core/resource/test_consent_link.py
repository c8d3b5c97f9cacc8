"""The link of a consent: everything is derived from one random key, and only the digest is stored in the cluster."""

import base64
import hashlib
import hmac
import subprocess
import sys
from pathlib import Path

import pytest

import pipedrive_operator
from pipedrive_operator.core.resource import consent_link
from pipedrive_operator.core.resource.consent_link import Mode
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.secret_value import SecretValue

KEY = consent_link.key_from(bytes(range(32)))
CONSENT = Key(namespace="crm", name="acme-x7k2p")


def test_the_state_is_an_authentication_code_of_the_name_under_the_key() -> None:
    """The test computes it a second time, from the description of the protocol."""
    code = hmac.digest(bytes(range(32)), b"pipedrive-operator.io/consent/v1:crm/acme-x7k2p", "sha256")
    expected = f"crm:acme-x7k2p:{base64.urlsafe_b64encode(code).decode().rstrip('=')}"

    assert expected == consent_link.state_of(KEY, CONSENT).reveal()


def test_the_digest_is_that_of_the_state() -> None:
    """Anyone who can read the resource learns nothing that completes the consent."""
    state = consent_link.state_of(KEY, CONSENT)

    assert f"sha256:{hashlib.sha256(state.reveal().encode()).hexdigest()}" == consent_link.digest_of(state)


@pytest.mark.parametrize(
    ("key", "consent"),
    [
        (consent_link.key_from(bytes(32)), CONSENT),
        (KEY, Key(namespace="ops", name="acme-x7k2p")),
        (KEY, Key(namespace="crm", name="acme-other")),
    ],
    ids=["another key", "another namespace", "another name"],
)
def test_a_state_proves_one_consent_with_one_key(key: SecretValue, consent: Key) -> None:
    """A state of one tenant is worthless for another."""
    digest = consent_link.digest_of(consent_link.state_of(KEY, CONSENT))

    assert consent_link.proves(consent_link.state_of(KEY, CONSENT), digest)
    assert not consent_link.proves(consent_link.state_of(key, consent), digest)


def test_a_key_has_32_random_bytes() -> None:
    """Fewer could be guessed."""
    with pytest.raises(ValueError, match="32 random bytes, not 16"):
        consent_link.key_from(bytes(16))


@pytest.mark.parametrize(
    "text",
    ["", "A" * 42, "A" * 44, "A" * 42 + "B", "A" * 42 + "=", "A" * 42 + "\n", "A" * 43 + "\0", "é" * 43, "+" * 43],
)
def test_a_text_that_cannot_be_a_key_is_none(text: str) -> None:
    """Each key has exactly one spelling."""
    assert consent_link.read_key(text) is None
    assert KEY == consent_link.read_key(KEY.reveal())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "crm:acme",
        "crm:acme:" + "A" * 42,
        "crm:acme:" + "A" * 44,
        "crm/acme:" + "A" * 43,
        "CRM:acme:" + "A" * 43,
        "crm:../acme:" + "A" * 43,
        "crm:acme:" + "A" * 43 + "\n",
        "crm:acme:x:" + "A" * 43,
        "c" * 64 + ":acme:" + "A" * 43,
        ":acme:" + "A" * 43,
    ],
)
def test_a_text_that_cannot_be_a_state_is_none(text: str) -> None:
    """A name that is not a name never gets into the path of a request."""
    assert consent_link.read_state(text) is None


def test_a_state_names_its_consent() -> None:
    """Any replica can therefore verify it with one read."""
    state = consent_link.state_of(KEY, CONSENT)

    assert (CONSENT, state) == consent_link.read_state(state.reveal())


@pytest.mark.parametrize("public_url", ["https://connect.example.com/x", "https://connect.example.com/x/"])
def test_the_urls_are_below_the_public_url(public_url: str) -> None:
    """The public URL may have a slash at its end."""
    page = consent_link.page_url(public_url, CONSENT)

    assert "https://connect.example.com/x/callback" == consent_link.callback_url(public_url)
    assert "https://connect.example.com/x/consent/crm/acme-x7k2p" == page
    assert f"{page}?key={KEY.reveal()}" == consent_link.link(page, KEY).reveal()


def test_the_authorization_page_gets_no_scope() -> None:
    """Pipedrive takes the scopes from the app, and may refuse an empty parameter."""
    callback = "https://connect.example.com/callback"
    url = consent_link.authorization_url("https://oauth.pipedrive.com/", client_id="a&b", redirect_uri=callback)

    assert (
        "https://oauth.pipedrive.com/oauth/authorize?client_id=a%26b"
        "&redirect_uri=https%3A%2F%2Fconnect.example.com%2Fcallback"
    ) == url
    assert f"{url}&state=crm%3Aa%3Ab" == consent_link.with_state(url, SecretValue("crm:a:b")).reveal()


@pytest.mark.parametrize(
    ("redirect_uri", "mode"),
    [
        ("https://connect.example.com/callback", Mode.HOSTED),
        ("http://localhost:8085/callback", Mode.LOOPBACK),
        ("http://127.0.0.1:8000/oauth", Mode.LOOPBACK),
        ("http://[::1]:8000/oauth", Mode.LOOPBACK),
        ("https://localhost:8085/callback", Mode.PASTE),
        ("https://n8n.example.com/rest/oauth2-credential/callback", Mode.PASTE),
        ("http://localhost.example.com/callback", Mode.PASTE),
    ],
)
def test_the_redirect_uri_decides_how_answers_arrive(redirect_uri: str, mode: Mode) -> None:
    """A command listens on the loopback address without TLS."""
    assert mode is consent_link.mode_of(redirect_uri, "https://connect.example.com")


def test_nothing_is_hosted_without_a_front() -> None:
    """The person then pastes the address."""
    assert Mode.PASTE is consent_link.mode_of("https://connect.example.com/callback", None)


def test_only_the_standard_library_is_imported() -> None:
    """A command on a laptop uses this module without installing the operator's dependencies."""
    sources = Path(pipedrive_operator.__file__).parents[1]
    script = (
        f"import sys; sys.path.insert(0, {str(sources)!r})\n"
        "import pipedrive_operator.core.resource.consent_link\n"
        "print(*{name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names)"
    )
    command = [sys.executable, "-I", "-S", "-c", script]

    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    assert {"__main__", "pipedrive_operator"} == set(found) | {"__main__"}
