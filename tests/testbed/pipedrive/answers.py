"""Bodies and status codes of all responses, as documented or recorded. Which one is sent is decided elsewhere."""

import uuid
from http import HTTPStatus
from typing import Any, Final, TypedDict

from aiohttp import web

from testbed.pipedrive.refusals import Refusal
from testbed.pipedrive.world import Company, User

HINT: Final = "Please check developers.pipedrive.com"


class TokenResponse(TypedDict):
    """The response of the token endpoint, the same for both grant types."""

    access_token: str
    token_type: str
    refresh_token: str
    scope: str
    expires_in: int
    api_domain: str


def refused(refusal: Refusal, *, bad_client_status: int) -> web.Response:
    """Build a refusal of oauth.pipedrive.com: the code is in `error`, the text in `message`."""
    body = {"success": False, "message": refusal.message, "error": refusal.error}
    status = bad_client_status if refusal.error == "invalid_client" else HTTPStatus.BAD_REQUEST
    headers = {"WWW-Authenticate": 'Basic realm="Service"'} if status == HTTPStatus.UNAUTHORIZED else {}
    return web.json_response(body, status=status, headers=headers)


def gateway_unauthorized() -> web.Response:
    """Build the gateway's response to a missing or unknown credential; it checks that before path and method."""
    headers = {"x-401-by-gw": "true", "x-correlation-id": str(uuid.uuid4())}
    return api_error(HTTPStatus.UNAUTHORIZED, "unauthorized access", headers=headers)


def api_error(status: int, error: str, *, headers: dict[str, str] | None = None) -> web.Response:
    """Build an error of the API."""
    body = {"success": False, "error": error, "errorCode": int(status), "error_info": HINT}
    return web.json_response(body, status=status, headers=headers)


def users_me(user: User, company: Company) -> web.Response:
    """Build the response to `GET /users/me`, with the documented rate-limit headers."""
    body = {"success": True, "data": {**_person(user), **_account(company)}}
    return web.json_response(body, headers={f"x-ratelimit-{key}": value for key, value in RATE.items()})


RATE: Final = {"limit": "80", "remaining": "79", "reset": "2"}


def _person(user: User) -> dict[str, Any]:
    permission_set = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{user.company_id}:{user.id}"))
    return {
        "id": user.id,
        "name": user.name,
        "email": user.email,
        "phone": None,
        "default_currency": "EUR",
        "locale": "et_EE",
        "lang": 1,
        "timezone_name": "Europe/Tallinn",
        "timezone_offset": "+03:00",
        "icon_url": None,
        "role_id": 1,
        "activated": True,
        "active_flag": user.is_active,
        "is_deleted": False,
        "is_you": True,
        "has_created_company": user.is_admin,
        "last_login": "2026-01-05 09:00:00",
        "created": "2025-01-05 09:00:00",
        "modified": None,
        "access": [{"app": "global", "admin": user.is_admin, "permission_set_id": permission_set}],
    }


def _account(company: Company) -> dict[str, Any]:
    return {
        "company_id": company.id,
        "company_name": company.name,
        "company_domain": company.domain,
        "company_country": company.country,
        "company_industry": None,
        "language": {"language_code": "en", "country_code": "US"},
    }
