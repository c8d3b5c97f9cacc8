"""The consent front for tests: served on loopback with faked consents, and requests to it byte by byte."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import aiohttp
from pydantic import HttpUrl

from fakes.consent_answers import FakeConsentAnswers
from pipedrive_operator.config.consent import ConsentSettings
from pipedrive_operator.config.settings import KubernetesSettings, Settings
from pipedrive_operator.core.resource import consent_link
from pipedrive_operator.core.resource.consent import Consent, ConsentCondition, ConsentSpec, ConsentStatus
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.conditions import ConditionStatus
from pipedrive_operator.core.values.consent_reasons import (
    CONSENT_EFFECTS,
    ConsentConditionType,
    ConsentReason,
    Stage,
)
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.front.run import front_server
from support.builders import NOW

PUBLIC_URL = "https://connect.example.com/connect"
PREFIX = "/connect"
AUTHORIZATION_PAGE = "https://oauth.pipedrive.com/oauth/authorize?client_id=a1&redirect_uri=https%3A%2F%2Fc%2Fcallback"
CONSENT = Key(namespace="crm", name="acme-x7k2p")
LINK_KEY = consent_link.key_from(bytes(range(32)))
STATE = consent_link.state_of(LINK_KEY, CONSENT).reveal()
CODE = "1.2.0123456789abcdef0123456789abcdef0123456789"
PAGE = f"{PREFIX}/consent/{CONSENT}"
RESULT = f"{PAGE}/result"
LINK = f"{PAGE}?key={LINK_KEY.reveal()}"
COOKIE = f"__Host-consent.crm.acme-x7k2p={LINK_KEY.reveal()}"
CALLBACK = f"{PREFIX}/callback"
ANSWERED = f"{CALLBACK}?code={CODE}&state={STATE}"


def reported(reason: ConsentReason, message: str = "", **fields: Any) -> ConsentStatus:
    """Return a status with that reason, as the operator writes it."""
    stage = CONSENT_EFFECTS[reason].stage
    is_complete = ConditionStatus.TRUE if stage is Stage.CONNECTED else ConditionStatus.FALSE
    complete = ConsentCondition(
        type=ConsentConditionType.COMPLETE,
        status=is_complete,
        reason=reason,
        message=message,
        observed_generation=1,
        last_transition_time=NOW,
    )
    status = ConsentStatus(observed_generation=1, conditions=(complete,), url=AUTHORIZATION_PAGE, app="crm-sync")
    return replace(status, **fields)


def linked(
    reason: ConsentReason = ConsentReason.WAITING,
    *,
    key: SecretValue = LINK_KEY,
    name: Key = CONSENT,
    created_at: datetime = NOW,
) -> Consent:
    """Return a consent whose link has that key, and on which the operator has reported that reason."""
    return Consent(
        key=name,
        uid=f"uid of {name}",
        generation=1,
        resource_version="1",
        created_at=created_at,
        being_deleted=False,
        owner_references=(),
        spec=ConsentSpec(credential="acme", state_digest=consent_link.digest_of(consent_link.state_of(key, name))),
        status=reported(reason),
    )


class PausingClock:
    """A clock that stands still; each sleep ends at once, after what the test has planned for it."""

    def __init__(self) -> None:
        """Start at a time."""
        self.seconds = 0.0
        self.on_sleep: Callable[[], None] | None = None

    def now(self) -> datetime:
        """Return the time, which stands still."""
        return NOW

    def monotonic(self) -> float:
        """Return the seconds that the test has set."""
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        """Let something happen instead of waiting."""
        self.seconds += seconds
        if self.on_sleep is not None:
            self.on_sleep()


@dataclass(frozen=True)
class Response:
    """A response, as it came over the connection."""

    status: int
    headers: Mapping[str, str]
    body: str


@dataclass
class Front:
    """A front that listens on loopback."""

    port: int
    consents: FakeConsentAnswers
    clock: PausingClock

    async def send(
        self, target: str, *, method: str = "GET", body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Response:
        """Send a request with exactly that target (RFC 9112, section 3.2)."""
        sent = {"Host": "connect.example.com", "Connection": "close", "Content-Length": str(len(body))}
        sent |= headers or {}
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items())]
        return await exchange(self.port, "\r\n".join([*lines, "", ""]).encode() + body)

    async def get(self, target: str, *, cookie: str = "") -> Response:
        """Open an address as a browser does."""
        return await self.send(target, headers={"Cookie": cookie} if cookie else {})

    async def press(self, target: str, *, site: str = "same-origin", cookie: str = "") -> Response:
        """Press the button of a page as a browser does."""
        cookies = {"Cookie": cookie} if cookie else {}
        return await self.send(target, method="POST", headers={"Sec-Fetch-Site": site, **cookies})

    def consent(self) -> Consent:
        """Return the consent as it is stored."""
        return self.consents.consents[CONSENT]


async def exchange(port: int, request: bytes) -> Response:
    """Send bytes to a loopback port, and read the response until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    finally:
        writer.close()
    first, *lines = head.split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return Response(int(first.split(" ")[1]), headers, body)


@dataclass
class Fronts:
    """How the front under test is set up."""

    requests_per_second: float = 1000
    operator_url: str | None = None
    cluster: str | None = "prod"
    consents: FakeConsentAnswers = field(default_factory=FakeConsentAnswers)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Front]:
        """Serve a front until the end of the block."""
        settings = Settings(
            kubernetes=KubernetesSettings(cluster_name=self.cluster),
            consent=ConsentSettings(
                enabled=True,
                public_url=HttpUrl(PUBLIC_URL),
                operator_url=None if self.operator_url is None else HttpUrl(self.operator_url),
                address="127.0.0.1",
                port=0,
                requests_per_second=self.requests_per_second,
            ),
        )
        clock = PausingClock()
        async with aiohttp.ClientSession() as session:
            server = front_server(settings, PUBLIC_URL, consents=self.consents, session=session, clock=clock)
            async with server:
                yield Front(server.port, self.consents, clock)
