"""The examples of docs/templates.md are read by a parser of each format, with the values that Pipedrive issues."""

import io
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_operator.core.publication.fields import API_TOKEN_FIELDS, OAUTH2_FIELDS
from pipedrive_operator.core.publication.template import check_template, render

PAGE = Path(__file__).parents[4] / "docs" / "templates.md"
OAUTH2 = {
    "access_token": "v1u:AQIBeyJ2IjoxfQ-_.abcdef0123456789",
    "token_type": "Bearer",
    "api_domain": "https://acme.pipedrive.com",
    "expires_at": "2026-03-04T13:00:00Z",
    "scope": "base,deals:full",
    "company_domain": "acme",
}
API_TOKEN = {
    "api_token": "0123456789abcdef0123456789abcdef01234567",
    "api_domain": "https://acme.pipedrive.com",
    "company_domain": "acme",
}
PRINTABLE = st.text().filter(str.isprintable)


def published() -> dict[str, str]:
    """Return all keys of the page's examples, as they would be published."""
    blocks = re.findall(r"^```yaml\n(.+?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    found: dict[str, str] = {}
    for key, template in (item for block in blocks for item in yaml.safe_load(block)["data"].items()):
        assert key not in found
        is_api_token = "api_token" in template
        check_template(key, template, API_TOKEN_FIELDS if is_api_token else OAUTH2_FIELDS)
        found[key] = render(template, API_TOKEN if is_api_token else OAUTH2)
    return found


def test_an_env_file_is_read_by_python_dotenv_and_a_shell() -> None:
    """Both get what Pipedrive issued."""
    text = published()[".env"]
    expected = {"PIPEDRIVE_URL": OAUTH2["api_domain"], "PIPEDRIVE_ACCESS_TOKEN": OAUTH2["access_token"]}

    assert expected == dict(dotenv_values(stream=io.StringIO(text)))
    assert expected == dict(word.split("=", 1) for word in shlex.split(text))
    assert expected == dict(line.split("=", 1) for line in text.splitlines())


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("config.json", {"api_token": API_TOKEN["api_token"], "start_date": "2026-01-01T00:00:00Z"}),
        ("airbyte.json", {"api_token": API_TOKEN["api_token"], "replication_start_date": "2026-01-01T00:00:00Z"}),
        (
            "appsettings.json",
            {"Pipedrive": {"AccessToken": OAUTH2["access_token"], "ExpiresAt": OAUTH2["expires_at"]}},
        ),
    ],
)
def test_connectors_and_dotnet_read_json(key: str, expected: dict[str, Any]) -> None:
    """They are Singer's tap, Airbyte's source and .NET's JSON provider."""
    assert expected == json.loads(published()[key])


def test_spring_boot_reads_yaml() -> None:
    """The expiry is a number, the token a string."""
    expected = {"url": OAUTH2["api_domain"], "access-token": OAUTH2["access_token"], "expires-at": 1772629200}

    assert {"pipedrive": expected} == yaml.safe_load(published()["application.yaml"])


def test_a_folder_of_files_needs_no_filter() -> None:
    """A Secret's key may have the dots of Spring Boot and the underscores of .NET."""
    files = {key: text for key, text in published().items() if key.lower().replace("-", "").endswith("accesstoken")}

    assert {"pipedrive.access-token", "Pipedrive__AccessToken"} == set(files)
    assert {OAUTH2["access_token"]} == set(files.values())


@given(PRINTABLE)
def test_yaml_reads_every_json_string(value: str) -> None:
    """This includes characters outside of the Basic Multilingual Plane, which JSON's escapes split in two."""
    assert value == yaml.safe_load(render("$(api_token|json)", {"api_token": value}))


@given(st.from_regex(r"[A-Za-z0-9:/._-]+", fullmatch=True))
def test_the_values_of_pipedrive_need_no_quotes_in_a_shell(value: str) -> None:
    """Readers of .env files that do not know quotes therefore read the same value."""
    assert value == render("$(api_token|sh)", {"api_token": value})
