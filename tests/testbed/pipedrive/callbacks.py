"""Sends the uninstall callback as documented, and returns the outcome, which the vendor ignores."""

from dataclasses import dataclass
from datetime import UTC, datetime

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
    headers = {"Authorization": aiohttp.encode_basic_auth(app.client_id, app.client_secret)}
    # The receiver's certificate is the tester's own, and this call need not verify it.
    connector = aiohttp.TCPConnector(ssl=False)
    async with aiohttp.ClientSession(headers=headers, timeout=PATIENCE, connector=connector) as session:
        try:
            async with session.delete(app.redirect_uri, json=body) as answer:
                return Delivery(status=answer.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            return Delivery(error=type(error).__name__)
