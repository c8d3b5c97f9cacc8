"""Sends the requests that Pipedrive makes to an app's callback URL, and returns the outcome.

The vendor ignores the response to a report. Only the check of *Change to live* depends on it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp

from testbed.pipedrive.world import App

PATIENCE = aiohttp.ClientTimeout(total=5)


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """The outcome of a callback: the receiver's status, or why it was not reached."""

    status: int | None = None
    error: str | None = None


async def send_uninstall(app: App, company_id: int, user_id: int, *, now: float) -> Delivery:
    """Send `DELETE <callback URL>` once, with the app's own credentials as Basic authentication."""
    body = {
        "client_id": app.client_id,
        "company_id": company_id,
        "user_id": user_id,
        # The format is not documented; ISO 8601 is a guess.
        "timestamp": datetime.fromtimestamp(now, tz=UTC).isoformat(timespec="seconds"),
    }
    return await _send("DELETE", app, body)


async def send_sharing(app: App, company_id: int, user_id: int, *, is_shared: bool) -> Delivery:
    """Send `POST <callback URL>` once, as Pipedrive does when an admin shares an app with a user."""
    return await _send("POST", app, {"company_id": company_id, "user_id": user_id, "isShared": is_shared})


async def probe(app: App) -> Delivery:
    """Send `GET <callback URL>` without parameters, as the check of *Change to live* does."""
    return await _send("GET", app, None)


async def _send(method: str, app: App, body: dict[str, Any] | None) -> Delivery:
    # The app's own credentials prove to it that a report comes from Pipedrive; a GET could come from anyone.
    basic = {"Authorization": aiohttp.encode_basic_auth(app.client_id, app.client_secret)}
    headers = {} if method == "GET" else basic
    # The receiver's certificate is the tester's own, and this call need not verify it.
    connector = aiohttp.TCPConnector(ssl=False)
    async with aiohttp.ClientSession(headers=headers, timeout=PATIENCE, connector=connector) as session:
        try:
            async with session.request(method, app.redirect_uri, json=body) as answer:
                return Delivery(status=answer.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            return Delivery(error=type(error).__name__)
