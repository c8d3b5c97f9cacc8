"""One operator with fakes of all its ports, for tests of what follows from a situation."""

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

from fakes.clock import TurnedClock
from fakes.cluster import FakeCluster
from fakes.consents import FakeConsents
from fakes.escrow import build_escrow
from fakes.pipedrive import FakePipedrive
from fakes.process import FakeLeadership
from fakes.vault import FakeVault
from fakes.workloads import FakeWorkloads
from pipedrive_operator.controller.cache import Cache
from pipedrive_operator.controller.consent_cache import ConsentCache
from pipedrive_operator.core.decision.sources import resolve
from pipedrive_operator.core.resource.credential import read_credential
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.conditions import ConditionType
from pipedrive_operator.reconcile.consents import ConsentAddresses, ConsentPorts, ConsentReconciler
from pipedrive_operator.reconcile.observer import Ports
from pipedrive_operator.reconcile.reconciler import Outcome, Reconciler
from support.builders import CLIENT_SOURCE, GRANT_LOCATION, KEY, RULES, TIMINGS, TOKEN_LOCATION, resource
from support.keepers import build_keeper

ADDRESSES = ConsentAddresses(
    oauth_url="https://oauth.pipedrive.com", public_url="https://connect.example.com", redirect_uris={}
)
FIRST = "a" * 40
"""The API token that Vault holds at the start."""
REFRESH = {"pipedrive-operator.io/requested-at": "now", "pipedrive-operator.io/request": "refresh"}
"""The annotations that request a refresh."""


class FakedOperator:
    """One operator with its ports."""

    def __init__(self) -> None:
        """Start with an empty cluster and an empty Vault."""
        self.clock = TurnedClock()
        self.vault = FakeVault(self.clock)
        self.pipedrive = FakePipedrive(self.clock)
        self.cluster = FakeCluster(self.clock)
        self.cluster.watchers.append(self._see)
        self.cache = Cache(lambda credential: resolve(credential, RULES))
        self.consents = FakeConsents(self.cluster)
        self.consent_cache = ConsentCache()
        self.workloads = FakeWorkloads()
        self.leadership = FakeLeadership()
        self.timings = TIMINGS
        self.woken: list[Key] = []
        self.consents_ended: list[str] = []
        self.start()

    def start(self) -> None:
        """Start the operator, or restart it without its memory."""
        self.escrow = build_escrow(self.cluster)
        self.keeper = build_keeper(
            self.vault,
            self.pipedrive,
            self.clock,
            lambda keys, _: self.woken.extend(keys),
            escrow=self.escrow,
        )
        ports = Ports(
            cache=self.cache,
            vault=self.vault,
            pipedrive=self.pipedrive,
            secrets=self.cluster,
            workloads=self.workloads,
            credentials=self.cluster,
            leadership=self.leadership,
            clock=self.clock,
            consents=self.consent_cache,
        )
        self.reconciler = Reconciler(
            ports=ports, keeper=self.keeper, timings=self.timings, on_verification=self.woken.append
        )
        self.consent_reconciler = ConsentReconciler(
            ports=ConsentPorts(
                consents=self.consents,
                consent_cache=self.consent_cache,
                cache=self.cache,
                credentials=self.cluster,
                leadership=self.leadership,
                clock=self.clock,
            ),
            keeper=self.keeper,
            addresses=ADDRESSES,
            source_of=self.reconciler.source,
            on_exchanged=lambda location: self.woken.extend(self.reconciler.exchange_ended(location)),
            on_ended=self.consents_ended.append,
        )

    def _see(self, kind: str, event: str, body: Mapping[str, Any]) -> None:
        """Deliver a change to the operator's cache at once, as the watch would."""
        see = {
            "credential": self.cache.see_credential,
            "secret": self.cache.see_secret,
            "consent": self.consent_cache.see,
        }[kind]
        see(event, body)

    async def settle_consent(self, key: Key) -> timedelta | None:
        """Take steps for a consent until it waits."""
        while (delay := await self.consent_reconciler.reconcile(key)) == timedelta(0):
            pass
        return delay

    async def settle(self, key: Key = KEY) -> Outcome:
        """Run passes until no refresh and no verification is in progress and nothing more is written."""
        while True:
            before = len(self.cluster.writes)
            outcome = await self.reconciler.reconcile(key)
            assert outcome is not None
            await self.keeper.drain()
            await verifications_ended()
            if len(self.cluster.writes) == before and not self.woken:
                return outcome
            self.woken.clear()

    async def reconcile(self, key: Key = KEY) -> Outcome:
        """Run a pass; if it started a verification, wait for its end and run the next pass."""
        outcome = await self.reconciler.reconcile(key)
        assert outcome is not None
        if not outcome.is_verifying:
            return outcome
        await verifications_ended()
        return await self.reconcile(key)

    def condition(self, wanted: ConditionType) -> tuple[str, str] | None:
        """Return status and reason of a condition in the cluster."""
        found = read_credential(self.cluster.credentials[KEY]).status.condition(wanted)
        return None if found is None else (found.status.value, found.reason.value)

    def message(self, wanted: ConditionType) -> str:
        """Return the message of a condition as the cluster has it."""
        found = read_credential(self.cluster.credentials[KEY]).status.condition(wanted)
        return "" if found is None else found.message

    def value(self, key: str, name: str = "acme") -> str | None:
        """Return a value of the published Secret."""
        secret = self.cluster.secrets.get(Key(namespace=KEY.namespace, name=name))
        return None if secret is None or key not in secret["data"] else b64decode(secret["data"][key]).decode()


async def verifications_ended() -> None:
    """Wait until no verification is in progress."""
    while tasks := [task for task in asyncio.all_tasks() if task.get_name().startswith("verification of ")]:
        await asyncio.gather(*tasks, return_exceptions=True)


async def seeded_world() -> AsyncIterator[FakedOperator]:
    """Provide a world with an API token, a client and a grant in Vault; no refresh may be in progress at the end."""
    made = FakedOperator()
    made.vault.put(TOKEN_LOCATION, api_token=FIRST)
    made.vault.put(CLIENT_SOURCE.location, client_id="client", client_secret="hush")
    made.vault.put(GRANT_LOCATION, refresh_token="seed", note="ours to keep")
    made.pipedrive.alive.add("seed")
    yield made
    await made.keeper.drain()


async def published_world(spec: dict[str, Any]) -> AsyncIterator[FakedOperator]:
    """Provide a seeded world with a credential whose Secret is published."""
    async for made in seeded_world():
        made.cluster.apply(resource(spec))
        await made.settle()
        made.cluster.writes.clear()
        yield made
