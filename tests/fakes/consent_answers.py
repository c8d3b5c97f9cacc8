"""A fake of `ports.ConsentAnswers`, which also plays the operator that reports on a consent."""

from dataclasses import replace

from pipedrive_operator.core.resource.consent import Answer, Consent, ConsentStatus
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.errors import ApiServerUnavailable


class FakeConsentAnswers:
    """Consents in memory."""

    def __init__(self) -> None:
        """Start without consents."""
        self.consents: dict[Key, Consent] = {}
        self.requests = 0
        self.is_down = False

    def put(self, consent: Consent) -> None:
        """Create a consent, or replace it by one of the same name."""
        self.consents[consent.key] = consent

    def report(self, key: Key, status: ConsentStatus) -> None:
        """Write the status of a consent as the operator does, for its newest generation."""
        consent = self.consents[key]
        self.consents[key] = replace(consent, status=replace(status, observed_generation=consent.generation))

    async def read(self, key: Key) -> Consent | None:
        """Return a consent, or None if it does not exist."""
        self._count()
        return self.consents.get(key)

    async def answer(self, consent: Consent, answer: Answer) -> bool:
        """Store an answer; return False if the consent no longer exists, or was deleted and created again."""
        self._count()
        stored = self.consents.get(consent.key)
        if stored is None or stored.uid != consent.uid:
            return False
        if stored.spec.answer != answer:
            spec = replace(stored.spec, answer=answer)
            self.consents[consent.key] = replace(stored, spec=spec, generation=stored.generation + 1)
        return True

    def _count(self) -> None:
        self.requests += 1
        if self.is_down:
            message = "the API server did not respond"
            raise ApiServerUnavailable(message)
