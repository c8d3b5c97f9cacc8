"""Checks of consents: where Pipedrive's answers arrive for each app, and whether browsers can reach the front."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from pipedrive_operator.config.settings import Settings
from pipedrive_operator.core.resource.consent_link import Mode, callback_url, mode_of
from pipedrive_operator.preflight.finding import Finding

_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)
_TITLE: Final = "<title>Connect Pipedrive</title>"
_REACH: Final = (
    "deploy the front (consent.enabled and consent.publicUrl of the chart), and check its DNS name, certificate and "
    "route. If only this pod cannot reach it, open the address in a browser"
)


async def check_consents(settings: Settings) -> list[Finding]:
    """Check what the settings say about consents; nothing if consents are disabled."""
    if not settings.consent.enabled:
        return []
    findings = list(_check_apps(settings))
    if (public_address := settings.consent.public_address) is not None:
        findings.append(await _check_front(callback_url(public_address)))
    return findings


def _check_apps(settings: Settings) -> Iterator[Finding]:
    """Yield how answers arrive for each app."""
    public_address = settings.consent.public_address
    for name, app in settings.pipedrive.apps.items():
        step = f"consent with the app {name}"
        uri = app.redirect_uri or (public_address and callback_url(public_address))
        if uri is None:
            detail = "where Pipedrive sends people back is not known"
            remedy = f"set pipedrive.apps.{name}.redirectUri to the app's callback URL, or consent.publicUrl"
            yield Finding(step=step, ok=False, detail=detail, remedy=remedy)
        elif public_address is not None and _is_nearly_hosted(uri, public_address):
            detail = f"{uri} is on the front's host, but the front's callback is {callback_url(public_address)}"
            remedy = f"correct the callback URL of the app in Pipedrive, and remove pipedrive.apps.{name}.redirectUri"
            yield Finding(step=step, ok=False, detail=detail, remedy=remedy)
        else:
            yield Finding(
                step=step, ok=True, detail=f"Pipedrive sends people back to {uri} ({mode_of(uri, public_address)})"
            )


def _is_nearly_hosted(uri: str, public_address: str) -> bool:
    is_same_host = urlsplit(uri).netloc == urlsplit(public_address).netloc
    return is_same_host and mode_of(uri, public_address) is not Mode.HOSTED


async def _check_front(url: str) -> Finding:
    """Send the request with which Pipedrive checks a callback URL."""
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=False) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            is_ours = response.status == HTTPStatus.OK and _TITLE in await response.text(errors="replace")
            detail = "reached" if is_ours else f"something else answers, with HTTP status {response.status}"
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        is_ours, detail = False, f"not reached: {type(error).__name__}"
    return Finding(step=f"consent front {url}", ok=is_ours, detail=detail, remedy=_REACH)
