"""The consent front, the Pipedrive simulator and a scripted operator, on origins of their own over TLS.

All of it runs in an event loop in another thread, because the browser's driver blocks. The names end in `.test`, and
the browser resolves them to loopback: the front, Pipedrive's OAuth2 server, and a company's domain between them.
"""

import asyncio
import gc
import ssl
import threading
import warnings
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import aiohttp
from pydantic import HttpUrl

from fakes.consent_answers import FakeConsentAnswers
from pipedrive_operator.adapters.clock import SystemClock
from pipedrive_operator.config.consent import ConsentSettings, TlsSettings
from pipedrive_operator.config.settings import KubernetesSettings, PipedriveSettings, Settings
from pipedrive_operator.core.resource import consent_link
from pipedrive_operator.core.resource.consent import Consent, ConsentStatus
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.resource.spec import AccountGuard
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.front.certificates import Certificates
from pipedrive_operator.front.run import front_server
from support.front import LINK_KEY, linked, reported
from testbed.certificates import Authority
from testbed.pipedrive import PipedriveSimulator
from testbed.processes import free_port

Result = TypeVar("Result")
FRONT: Final = "connect.operator.test"
PIPEDRIVE: Final = "oauth.pipedrive.test"
COMPANY: Final = "acme.pipedrive.test"
CLIENT_ID: Final = "crm-sync"
SCOPES: Final = ("base", "deals:full", "contacts:read")


def _collect_connections() -> None:
    """Drop the connections that a browser has left without ending TLS, for which asyncio waits half a minute."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


class Site:
    """Everything that the browser can reach, and the consents behind it."""

    def __init__(self, folder: Path, *, redirects: tuple[str, ...] = (COMPANY,)) -> None:
        """Prepare a site; the front allows redirects to Pipedrive's OAuth2 server and to the hosts `redirects`."""
        self.front_port, self.pipedrive_port = free_port(), free_port()
        self.url = f"https://{FRONT}:{self.front_port}/connect"
        self.pipedrive_url = f"https://{PIPEDRIVE}:{self.pipedrive_port}"
        self.consents = FakeConsentAnswers()
        pair = Authority(folder).serving("site", [FRONT, PIPEDRIVE, COMPANY])
        self._tls = TlsSettings(cert_file=pair.public, key_file=pair.key)
        self._allowed = tuple(f"https://{host}:{self.pipedrive_port}" for host in redirects)
        self._loop = asyncio.new_event_loop()

    @contextmanager
    def running(self) -> Iterator["Site"]:
        """Serve until the end of the block."""
        thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        thread.start()
        stack = AsyncExitStack()
        try:
            self._call(self._start(stack))
            yield self
        finally:
            self._call(stack.aclose())
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()
            _collect_connections()

    def offer(self, name: str, reason: ConsentReason = ConsentReason.WAITING, **status: Any) -> Consent:
        """Create a consent whose link can be used, unless the operator reports something else."""
        consent = linked(name=Key(namespace="crm", name=name), created_at=datetime.now(UTC))
        url = consent_link.authorization_url(
            self.pipedrive_url, client_id=CLIENT_ID, redirect_uri=f"{self.url}/callback"
        )
        expected = AccountGuard(company_domain="acme")
        shown = reported(reason, url=url, required_scopes=SCOPES, expected_account=expected, **status)
        self.consents.put(replace(consent, status=shown))
        return self.consents.consents[consent.key]

    def link(self, name: str) -> str:
        """Return the link of a consent."""
        page = consent_link.page_url(self.url, Key(namespace="crm", name=name))
        return consent_link.link(page, LINK_KEY).reveal()

    def report(self, name: str, reason: ConsentReason, **status: Any) -> None:
        """Report on a consent as the operator would."""
        key = Key(namespace="crm", name=name)
        self.consents.report(key, self._status(key, reason, **status))

    def _call(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    async def _start(self, stack: AsyncExitStack) -> None:
        certificates = Certificates(self._tls)
        self.simulator = await stack.enter_async_context(
            PipedriveSimulator(port=self.pipedrive_port, tls=self._context())
        )
        self._seed()
        session = await stack.enter_async_context(aiohttp.ClientSession())
        server = front_server(
            self._settings(),
            self.url,
            consents=self.consents,
            session=session,
            clock=SystemClock(),
            certificates=certificates,
        )
        await stack.enter_async_context(server)
        working = asyncio.create_task(self._operate())
        stack.callback(working.cancel)

    def _seed(self) -> None:
        world = self.simulator.world
        self.simulator.switches.company_page = f"https://{COMPANY}:{self.pipedrive_port}"
        for number, (domain, user) in enumerate((("acme", "Ada"), ("other", "Grace")), 1):
            world.add_company(company_id=number, domain=domain, name=domain.capitalize())
            world.add_user(company_id=number, user_id=10 + number, name=user)
        world.add_app(client_id=CLIENT_ID, name="CRM sync", redirect_uri=f"{self.url}/callback", scopes=SCOPES)

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._tls.cert_file, self._tls.key_file)
        return context

    def _settings(self) -> Settings:
        return Settings(
            kubernetes=KubernetesSettings(cluster_name="prod"),
            pipedrive=PipedriveSettings(oauth_url=HttpUrl(self.pipedrive_url), allowed_api_domains=self._allowed),
            consent=ConsentSettings(
                enabled=True,
                public_url=HttpUrl(self.url),
                address="127.0.0.1",
                port=self.front_port,
                tls=self._tls,
            ),
        )

    async def _operate(self) -> None:
        """Exchange every answer, and report whether the company is the expected one, as the operator does."""
        while True:
            await asyncio.sleep(0.05)
            for key, consent in list(self.consents.consents.items()):
                if consent.generation != consent.status.observed_generation:
                    self.consents.report(key, self._exchanged(consent))

    def _exchanged(self, consent: Consent) -> ConsentStatus:
        assert consent.spec.answer is not None
        app = self.simulator.world.apps[CLIENT_ID]
        pair = self.simulator.grants.exchange(consent.spec.answer.code.reveal(), app, now=self.simulator.now())
        grant = pair.access.grant
        domain = self.simulator.world.companies[grant.company_id].domain
        account = Account(company_id=grant.company_id, company_domain=domain, user_id=grant.user_id)
        reason = ConsentReason.CONNECTED if domain == "acme" else ConsentReason.WRONG_ACCOUNT
        return self._status(consent.key, reason, account=account)

    def _status(self, key: Key, reason: ConsentReason, **status: Any) -> ConsentStatus:
        before = self.consents.consents[key].status
        shown = reported(reason, **status)
        return replace(
            shown, url=before.url, required_scopes=before.required_scopes, expected_account=before.expected_account
        )
