"""Builds the consent front from its settings, and runs it until it is asked to stop. Nothing is decided here."""

import asyncio
import signal
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import aiohttp

from pipedrive_operator.adapters.clock import SystemClock
from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.consent_answers import KubernetesConsentAnswers
from pipedrive_operator.config.settings import Settings
from pipedrive_operator.front.certificates import Certificates
from pipedrive_operator.front.headers import security_headers
from pipedrive_operator.front.pages import Pages
from pipedrive_operator.front.rate_limits import RateLimits
from pipedrive_operator.front.server import FrontServer
from pipedrive_operator.front.uninstalls import UninstallForwarder
from pipedrive_operator.front.views import Views
from pipedrive_operator.health import HealthServer
from pipedrive_operator.log import get_logger
from pipedrive_operator.ports import Clock, ConsentAnswers

_log = get_logger(__name__)


async def run(settings: Settings, public_address: str) -> None:
    """Serve the front at `public_address` until SIGTERM or SIGINT.

    Raises:
        ApiServerUnavailable: no usable configuration for the API server was found.
        OSError: a port or a certificate file cannot be used.
    """
    clock = SystemClock()
    stop_requested = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop_requested.set)
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(await Api.connect(settings.kubernetes))
        session = await stack.enter_async_context(aiohttp.ClientSession(trust_env=False))
        certificates = None if settings.consent.tls is None else Certificates(settings.consent.tls)
        server = front_server(
            settings,
            public_address,
            consents=KubernetesConsentAnswers(api),
            session=session,
            clock=clock,
            certificates=certificates,
        )
        await stack.enter_async_context(server)
        await stack.enter_async_context(HealthServer(settings.http, live=_no_checks, ready=_no_checks))
        _log.info("serving the consent front", port=server.port, url=public_address)
        if certificates is not None:
            renewing = asyncio.create_task(certificates.keep_fresh(clock), name="certificates")
            stack.callback(renewing.cancel)
        await stop_requested.wait()
        _log.info("stopping")


def front_server(
    settings: Settings,
    public_address: str,
    *,
    consents: ConsentAnswers,
    session: aiohttp.ClientSession,
    clock: Clock,
    certificates: Certificates | None = None,
) -> FrontServer:
    """Build the server for the pages below `public_address`."""
    prefix = urlsplit(public_address).path.rstrip("/")
    oauth_url = str(settings.pipedrive.oauth_url)
    pages = Pages(prefix=prefix, cluster=settings.kubernetes.cluster_name)
    operator_url = settings.consent.operator_url
    return FrontServer(
        (settings.consent.address, settings.consent.port),
        views=Views(
            consents=consents,
            pages=pages,
            rate_limits=RateLimits(settings.consent.requests_per_second),
            clock=clock,
            prefix=prefix,
            oauth_url=oauth_url,
        ),
        prefix=prefix,
        headers=security_headers(oauth_url, settings.pipedrive.allowed_api_domains),
        on_uninstall=UninstallForwarder(session, None if operator_url is None else str(operator_url), clock).take,
        tls=None if certificates is None else certificates.context,
    )


def _no_checks() -> dict[str, str | None]:
    """Return no check: without the API server the front still answers, with a page that says so."""
    return {}
