"""A person who connects an account in a world of fake ports."""

from collections.abc import AsyncIterator
from typing import Any

from pipedrive_operator.core.resource.consent import Consent
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.consent_reasons import ConsentConditionType, ConsentReason
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.core.values.times import format_time
from support.builders import ACCOUNT, GRANT_LOCATION, OAUTH2_SPEC, resource
from support.faked_operator import FakedOperator, seeded_world

UNGUARDED: dict[str, Any] = {"oauth2": OAUTH2_SPEC["oauth2"]}
"""A spec that accepts any account until one is pinned."""
CONSENT = Key(namespace="crm", name="acme-x1")


async def unconnected_world() -> AsyncIterator[FakedOperator]:
    """Yield a world with a credential whose grant is missing."""
    async for made in seeded_world():
        del made.vault.documents[GRANT_LOCATION]
        made.cluster.apply(resource(UNGUARDED))
        yield made


class ConsentingPerson:
    """A person who creates a consent and accepts."""

    def __init__(self, world: FakedOperator, key: Key = CONSENT, *, credential: str = "acme", **spec: Any) -> None:
        """Create a consent now."""
        self.world, self.key = world, key
        self.state = world.consents.create(
            key, credential=credential, created_at=format_time(world.clock.now()), **spec
        )

    async def sees_link(self) -> Consent:
        """Wait for the link."""
        await self.world.settle_consent(self.key)
        return self.consent

    async def accepts(self, account: Account = ACCOUNT, *, state: SecretValue | None = None) -> ConsentReason:
        """Press Accept, and return what the consent's status reports then."""
        await self.sees_link()
        self.world.consents.answer(self.key, self.world.pipedrive.accept(account), state or self.state)
        await self.world.settle_consent(self.key)
        return self.reason

    @property
    def consent(self) -> Consent:
        """The consent as it is in the cluster."""
        return self.world.consents.get(self.key)

    @property
    def reason(self) -> ConsentReason:
        """What its status reports."""
        found = self.consent.status.condition(ConsentConditionType.COMPLETE)
        assert found is not None
        return found.reason

    def reports(self, reason: ConsentReason) -> bool:
        """Return whether its status reports a reason."""
        return self.reason is reason

    @property
    def message(self) -> str:
        """What its status says."""
        found = self.consent.status.condition(ConsentConditionType.COMPLETE)
        assert found is not None
        return found.message
