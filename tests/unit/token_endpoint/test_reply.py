"""The token endpoint answers as RFC 6749 says, whatever a client sends."""

import base64
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from pipedrive_operator.token_endpoint.clients import Clients, digest
from pipedrive_operator.token_endpoint.reply import EndpointRequest, TokenReply, reply
from pipedrive_operator.token_endpoint.tokens import Tokens

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
SECRET = "correct horse:battery%staple"
FORM = "application/x-www-form-urlencoded"
GRANT = b"grant_type=client_credentials"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with one client and its mounted token, which expires in an hour."""
    (tmp_path / "clients").mkdir()
    (tmp_path / "clients" / "acme").write_text(digest(SECRET) + "\n")
    publish(tmp_path, "acme", access_token="v1u:abc", expires_at="2026-03-04T13:00:00Z", token_type="Bearer")
    return tmp_path


def publish(folder: Path, name: str, **values: str) -> None:
    """Mount a Secret."""
    mount = folder / "tokens" / name
    mount.mkdir(parents=True, exist_ok=True)
    for key, value in values.items():
        (mount / key).write_text(value)


def basic(client_id: str, secret: str) -> str:
    """Return an Authorization header."""
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


def ask(
    folder: Path,
    *,
    authorization: str | None = None,
    body: bytes = GRANT,
    content_type: str = FORM,
    now: datetime = NOW,
) -> TokenReply:
    """Send a request."""
    request = EndpointRequest(content_type=content_type, authorization=authorization, body=body)
    return reply(request, clients=Clients(folder / "clients"), tokens=Tokens(folder / "tokens"), now=now)


def in_body(client_id: str, secret: str) -> bytes:
    """Return a request that authenticates in its body."""
    return GRANT + f"&client_id={quote_plus(client_id)}&client_secret={quote_plus(secret)}".encode()


def test_a_client_gets_the_token_with_the_time_that_is_left(folder: Path) -> None:
    """The lifetime is counted from the request, not from the refresh."""
    answer = ask(folder, authorization=basic("acme", SECRET), now=NOW + timedelta(minutes=18, seconds=0.5))

    assert HTTPStatus.OK == answer.status
    assert {"access_token": "v1u:abc", "token_type": "Bearer", "expires_in": 2519} == answer.body


def test_the_answer_has_what_else_the_secret_holds(folder: Path) -> None:
    """Pipedrive separates scopes by commas, RFC 6749 by spaces."""
    publish(folder, "acme", scope="base,deals:full", api_domain="https://acme.pipedrive.com")

    answer = ask(folder, authorization=basic("acme", SECRET))

    assert "base deals:full" == answer.body["scope"]
    assert "https://acme.pipedrive.com" == answer.body["api_domain"]


@pytest.mark.parametrize(
    ("authorization", "body"),
    [
        pytest.param(basic("acme", SECRET), GRANT, id="Basic, as most clients send it"),
        pytest.param(basic("acme", quote_plus(SECRET)), GRANT, id="Basic, form-encoded as RFC 6749 asks"),
        pytest.param("bAsIc " + basic("acme", SECRET)[6:], GRANT, id="any case of the scheme"),
        pytest.param(None, in_body("acme", SECRET), id="in the body"),
        pytest.param(basic("acme", SECRET), GRANT + b"&client_id=acme", id="Basic, and the id in the body too"),
        pytest.param(basic("acme", SECRET), GRANT + b"&scope=", id="an empty scope, as n8n sends it"),
        pytest.param(basic("acme", SECRET), GRANT + b"&audience=x&resource=y", id="unknown parameters"),
    ],
)
def test_every_usual_way_to_authenticate_works(folder: Path, authorization: str | None, body: bytes) -> None:
    """Clients differ, and all of these are in use."""
    assert HTTPStatus.OK == ask(folder, authorization=authorization, body=body).status


@pytest.mark.parametrize(
    ("authorization", "body"),
    [
        pytest.param(None, GRANT, id="no credentials"),
        pytest.param(basic("acme", "wrong"), GRANT, id="wrong secret"),
        pytest.param(basic("acme", ""), GRANT, id="empty secret"),
        pytest.param(basic("other", SECRET), GRANT, id="unknown client"),
        pytest.param(basic("../clients/acme", SECRET), GRANT, id="a path"),
        pytest.param(basic("..", SECRET), GRANT, id="the folder above"),
        pytest.param(basic("acme\0", SECRET), GRANT, id="a NUL"),
        pytest.param(basic("acme", digest(SECRET)), GRANT, id="the digest itself"),
        pytest.param("Basic !!!", GRANT, id="not base64"),
        pytest.param("Basic " + base64.b64encode(b"acme").decode(), GRANT, id="no colon"),
        pytest.param("Basic " + base64.b64encode(b"\xff:\xff").decode(), GRANT, id="not UTF-8"),
        pytest.param("Bearer v1u:abc", GRANT, id="another scheme"),
        pytest.param(None, in_body("acme", "wrong"), id="wrong secret in the body"),
    ],
)
def test_wrong_credentials_are_an_invalid_client(folder: Path, authorization: str | None, body: bytes) -> None:
    """The answer is the same for an unknown client and for a wrong secret."""
    answer = ask(folder, authorization=authorization, body=body)

    assert HTTPStatus.UNAUTHORIZED == answer.status
    assert {"error": "invalid_client", "error_description": "unknown client, or wrong client secret"} == answer.body
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.parametrize(
    ("body", "content_type", "error"),
    [
        pytest.param(b"", FORM, "invalid_request", id="empty"),
        pytest.param(b"grant_type=", FORM, "invalid_request", id="empty grant type"),
        pytest.param(GRANT + b"&" + GRANT, FORM, "invalid_request", id="grant type twice"),
        pytest.param(GRANT, "application/json", "invalid_request", id="JSON"),
        pytest.param(GRANT, "", "invalid_request", id="no content type"),
        pytest.param(b"\xff=\xff", FORM, "invalid_request", id="not UTF-8"),
        pytest.param(b"&".join(b"a%d=" % number for number in range(40)), FORM, "invalid_request", id="many fields"),
        pytest.param(GRANT + b"&client_id=acme&client_secret=x", FORM, "invalid_request", id="two secrets"),
        pytest.param(GRANT + b"&client_id=beta", FORM, "invalid_request", id="the id of another client in the body"),
        pytest.param(b"grant_type=refresh_token&refresh_token=x", FORM, "unsupported_grant_type", id="refresh"),
        pytest.param(b"grant_type=authorization_code&code=x", FORM, "unsupported_grant_type", id="code"),
    ],
)
def test_a_wrong_request_is_explained(folder: Path, body: bytes, content_type: str, error: str) -> None:
    """The response has an error code of RFC 6749 section 5.2."""
    answer = ask(folder, authorization=basic("acme", SECRET), body=body, content_type=content_type)

    assert HTTPStatus.BAD_REQUEST == answer.status
    assert error == answer.body["error"]
    assert answer.body["error_description"]


@pytest.mark.parametrize(
    ("values", "now"),
    [
        pytest.param({}, NOW + timedelta(hours=1), id="expires now"),
        pytest.param({}, NOW + timedelta(minutes=59, seconds=59.5), id="less than a second left"),
        pytest.param({"access_token": ""}, NOW, id="no token"),
        pytest.param({"expires_at": ""}, NOW, id="no expiry"),
        pytest.param({"expires_at": "tomorrow"}, NOW, id="not a time"),
        pytest.param({"expires_at": "2026-03-04T13:00:00"}, NOW, id="no zone"),
        pytest.param({"expires_at": "9" * 40}, NOW, id="out of range"),
        pytest.param({"access_token": "v1u:\x07"}, NOW, id="a control character"),
    ],
)
def test_without_a_valid_token_the_client_can_try_again_later(
    folder: Path, values: dict[str, str], now: datetime
) -> None:
    """503 makes clients retry; 401 would make them forget their credentials."""
    publish(folder, "acme", **values)

    answer = ask(folder, authorization=basic("acme", SECRET), now=now)

    assert HTTPStatus.SERVICE_UNAVAILABLE == answer.status
    assert "5" == answer.headers["Retry-After"]
    assert "PipedriveCredential" in answer.body["error_description"]


def test_a_missing_mount_is_not_an_error_of_the_client(folder: Path) -> None:
    """A client may be configured before its credential is Ready."""
    (folder / "clients" / "beta").write_text(digest("beta-secret"))

    assert HTTPStatus.SERVICE_UNAVAILABLE == ask(folder, authorization=basic("beta", "beta-secret")).status


def test_each_client_gets_its_own_token(folder: Path) -> None:
    """One company's workload must never get the token of a different one."""
    (folder / "clients" / "beta").write_text(digest("beta-secret"))
    publish(folder, "beta", access_token="v1u:beta", expires_at="1772629200")

    assert "v1u:beta" == ask(folder, authorization=basic("beta", "beta-secret")).body["access_token"]
    assert HTTPStatus.UNAUTHORIZED == ask(folder, authorization=basic("beta", SECRET)).status


def test_a_reply_does_not_print_its_token(folder: Path) -> None:
    """A request does not print its client secret either."""
    request = EndpointRequest(content_type=FORM, authorization=basic("acme", SECRET), body=GRANT)

    assert "v1u" not in repr(ask(folder, authorization=basic("acme", SECRET)))
    assert basic("acme", SECRET) not in repr(request)
