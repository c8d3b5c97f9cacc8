"""The last defence: whatever looks like a token is hidden, and nothing else."""

import pytest

from pipedrive_operator.core.values.mask import mask
from support.token_examples import TOKENS


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("around", ["{}", "issued to {}, and", '"{}"', "x={}&y", "({})"])
def test_a_token_is_hidden_wherever_it_stands(token: str, around: str) -> None:
    """The rest of the sentence stays."""
    assert around.format("(hidden)") == mask(around.format(token))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://user:word@proxy:3128 refused", "http://(hidden)@proxy:3128 refused"),
        ("Authorization: Bearer abc", "Authorization: Bearer (hidden)"),
        ("refresh_token=abc&x=1", "refresh_token=(hidden)&x=1"),
        ("api_token=-abc", "api_token=(hidden)"),
        ("client_secret=.abc", "client_secret=(hidden)"),
    ],
)
def test_a_value_is_hidden_by_what_stands_before_it(text: str, expected: str) -> None:
    """The value may have no known form."""
    assert expected == mask(text)


@pytest.mark.parametrize(
    "text",
    [
        "Secret acme holds a value that Pipedrive accepts, for company acme at https://acme.pipedrive.com",
        'Vault connection "default" is sealed: unseal it with `vault operator unseal`',
        "kubectl annotate pdc acme pipedrive-operator.io/requested-at=2026-03-04T13:00:00Z",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "a@b.example",
        "write the token with `vault kv put -mount=secret pipedrive/crm/acme api_token=...`",
        "write one there with `vault kv put -mount=secret pipedrive/crm/acme refresh_token=-`",
    ],
)
def test_words_for_people_stay(text: str) -> None:
    """A message that hides too much helps nobody."""
    assert text == mask(text)


def test_a_json_web_token_is_hidden_wherever_it_begins() -> None:
    """A dash belongs to its characters, and many beginnings without an end are no token."""
    token = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJrIn0.c2ln"

    assert "a (hidden) b" == mask(f"a {token} b")
    assert token not in mask(f"the-token-{token}")
    assert token not in mask(f"name.{token}")
    assert "eyJ-" * 2000 == mask("eyJ-" * 2000)
