"""Common OAuth2 clients fetch their token from the endpoint: what they send, and how they read the response.

`make n8n` does the same with the client of a real n8n.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session

from pipedrive_operator.token_endpoint.clients import digest, new_secret
from testbed.go_build import MODULE

Fetch = Callable[[str, str, str, str], dict[str, Any]]


@dataclass(frozen=True)
class Endpoint:
    """A running endpoint, with one client whose token expires in an hour."""

    url: str
    secret: str
    mount: Path


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    """Run the endpoint as a sidecar would."""
    secret, mount = new_secret(), tmp_path / "tokens" / "acme"
    mount.mkdir(parents=True)
    (tmp_path / "clients").mkdir()
    (tmp_path / "clients" / "acme").write_text(digest(secret))
    (mount / "access_token").write_text("v1u:abc")
    (mount / "api_domain").write_text("https://acme.pipedrive.com")
    (mount / "expires_at").write_text(f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}")
    folders = ("--tokens", str(mount.parent), "--clients", str(tmp_path / "clients"))
    command = (sys.executable, "-m", "pipedrive_operator", "token-endpoint", *folders, "--port", "0")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = re.search(r"http://\S+/token", process.stderr.readline())
        assert found is not None
        yield Endpoint(found.group(), secret, mount)
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(timeout=10)


@pytest.fixture(scope="session")
def go(tmp_path_factory: pytest.TempPathFactory) -> Fetch:
    """Build the program that uses Go's client."""
    program = tmp_path_factory.mktemp("go") / "clientcredentials"
    command = ("go", "build", "-trimpath", "-buildvcs=false", "-o", str(program), "./clientcredentials")
    subprocess.run(command, cwd=MODULE, env=os.environ | {"CGO_ENABLED": "0"}, check=True)

    def fetch(*arguments: str) -> dict[str, Any]:
        done = subprocess.run((program, *arguments), capture_output=True, text=True, check=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return fetch


@pytest.mark.parametrize("style", ["auto", "header", "params"])
def test_gos_client_gets_the_token(go: Fetch, endpoint: Endpoint, style: str) -> None:
    """It uses each of its ways to authenticate, and finds the extra field."""
    found = go(endpoint.url, "acme", endpoint.secret, style)

    assert ("v1u:abc", "https://acme.pipedrive.com", "") == (found["access_token"], found["api_domain"], found["error"])
    assert 3500 < found["seconds"] <= 3600


def test_gos_client_reads_the_errors(go: Fetch, endpoint: Endpoint) -> None:
    """It reports a wrong secret and an expired token."""
    wrong = go(endpoint.url, "acme", "wrong", "header")
    (endpoint.mount / "expires_at").write_text("2026-01-01T00:00:00Z")
    expired = go(endpoint.url, "acme", endpoint.secret, "header")

    assert (401, "invalid_client") == (wrong["status"], wrong["error"])
    assert (503, "temporarily_unavailable") == (expired["status"], expired["error"])


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_authlibs_client_gets_the_token(endpoint: Endpoint, method: str) -> None:
    """It uses both ways to authenticate."""
    with OAuth2Session("acme", endpoint.secret, token_endpoint_auth_method=method) as session:
        token = session.fetch_token(endpoint.url, grant_type="client_credentials")

    assert ("v1u:abc", "Bearer") == (token["access_token"], token["token_type"])
    assert not token.is_expired()


def test_authlibs_client_reads_the_errors(endpoint: Endpoint) -> None:
    """They are those of RFC 6749."""
    with OAuth2Session("acme", "wrong") as session, pytest.raises(OAuthError, match="invalid_client"):
        session.fetch_token(endpoint.url, grant_type="client_credentials")
    with OAuth2Session("acme", endpoint.secret) as session, pytest.raises(OAuthError, match="unsupported_grant_type"):
        session.fetch_token(endpoint.url, grant_type="password", username="a", password="b")
