"""The responses of faults, and how faults change real responses. When a fault strikes is decided in `faults`."""

import json
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from testbed.pipedrive.answers import api_error
from testbed.pipedrive.faults import Fault, FaultKind

ERRORS: Final = {
    FaultKind.DAILY_LIMIT: (HTTPStatus.TOO_MANY_REQUESTS, "daily request budget exceeded"),
    FaultKind.BURST_LIMIT: (HTTPStatus.TOO_MANY_REQUESTS, "Request over limit"),
    FaultKind.PAYMENT_REQUIRED: (HTTPStatus.PAYMENT_REQUIRED, "Payment required"),
    FaultKind.SCOPE_MISMATCH: (HTTPStatus.FORBIDDEN, "Scope and URL mismatch"),
}
PAGES: Final = {
    FaultKind.HTML: (HTTPStatus.OK, "<!doctype html><title>Pipedrive</title><h1>One moment please</h1>"),
    FaultKind.CLOUDFLARE: (
        HTTPStatus.FORBIDDEN,
        "<!doctype html><title>Access denied | Cloudflare</title><h1>Error 1015: access denied</h1>",
    ),
}
OBJECTS: Final[dict[FaultKind, tuple[HTTPStatus, dict[str, Any]]]] = {
    FaultKind.NO_TOKEN: (HTTPStatus.OK, {"success": True}),
    FaultKind.NO_ERROR: (HTTPStatus.BAD_REQUEST, {"success": False}),
}
SPOILING: Final = frozenset({FaultKind.NO_REFRESH_TOKEN, FaultKind.TEXT_EXPIRY})


def answer_of(fault: Fault) -> web.Response | None:
    """Return the response that a fault sends instead of the real one; None if it has none."""
    if fault.kind in ERRORS:
        status, error = ERRORS[fault.kind]
        return api_error(fault.status or status, error, headers=_retry_after(fault))
    if fault.kind is FaultKind.STATUS:
        status = HTTPStatus(fault.status or HTTPStatus.INTERNAL_SERVER_ERROR)
        return api_error(status, status.phrase, headers=_retry_after(fault))
    if fault.kind in PAGES:
        status, page = PAGES[fault.kind]
        return web.Response(text=page, content_type="text/html", status=fault.status or status)
    if fault.kind in OBJECTS:
        status, body = OBJECTS[fault.kind]
        return web.json_response(body, status=fault.status or status)
    return None


def spoilt(fault: Fault, answer: web.Response) -> web.Response:
    """Return the real response with one field removed or changed; a page is returned unchanged."""
    if answer.content_type != "application/json":
        return answer
    body = json.loads(answer.text or "{}")
    if fault.kind is FaultKind.NO_REFRESH_TOKEN:
        body.pop("refresh_token", None)
    elif "expires_in" in body:
        body["expires_in"] = str(body["expires_in"])
    return web.json_response(body, status=answer.status)


def _retry_after(fault: Fault) -> dict[str, str]:
    return {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
