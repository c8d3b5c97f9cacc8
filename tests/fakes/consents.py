"""Consents in a cluster, the people who create and answer them, and what the operator writes about them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from fakes.cluster import FakeCluster, Page
from fakes.merge_patch import merged
from pipedrive_operator.core.resource.consent import Consent, ConsentStatus, read_consent, write_consent_status
from pipedrive_operator.core.resource.consent_link import digest_of, key_from, state_of
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.secret_value import SecretValue


@dataclass
class FakeConsents:
    """Implements `ports.Consents`."""

    cluster: FakeCluster

    def create(
        self, key: Key, *, credential: str, created_at: str, owner_uid: str | None = None, **spec: Any
    ) -> SecretValue:
        """Create a consent, as a person does, and return the state that an answer must have."""
        state = state_of(key_from(b"k" * 32), key)
        owners = [{"kind": "PipedriveCredential", "name": credential, "uid": owner_uid}] if owner_uid else []
        body = {
            "metadata": {
                "namespace": key.namespace,
                "name": key.name,
                "generation": 1,
                "creationTimestamp": created_at,
                "ownerReferences": owners,
            },
            "spec": {"credential": credential, "stateDigest": digest_of(state), **spec},
            "status": {"observedGeneration": -1},
        }
        self.cluster.store_consent(body)
        return state

    def answer(self, key: Key, code: SecretValue, state: SecretValue) -> None:
        """Write an answer into a consent, as the front does."""
        body = self.cluster.consents[key]
        spec = body["spec"] | {"answer": {"code": code.reveal(), "state": state.reveal()}}
        metadata = body["metadata"] | {"generation": body["metadata"]["generation"] + 1}
        self.cluster.store_consent(body | {"spec": spec, "metadata": metadata})

    def remove(self, key: Key) -> None:
        """Delete a consent, as a person does."""
        self.cluster.delete_consent(key)

    def get(self, key: Key) -> Consent:
        """Return a consent as it is in the cluster."""
        return read_consent(self.cluster.consents[key])

    async def patch_status(self, consent: Consent, status: ConsentStatus) -> Consent | None:
        """Replace the status of a consent if it is as it was seen."""
        await self.cluster.arrive()
        self.cluster.write("patch consent")
        current = self.cluster.consents.get(consent.key)
        if current is None or current["metadata"]["resourceVersion"] != consent.resource_version:
            await self.cluster.answer()
            return None
        patched = self.cluster.store_consent(merged(current, {"status": write_consent_status(status)}))
        self.cluster.reports_consent(patched)
        await self.cluster.answer()
        return read_consent(patched)

    async def delete(self, consent: Consent) -> None:
        """Delete a consent if it is as it was seen."""
        await self.cluster.arrive()
        self.cluster.write("delete consent")
        current = self.cluster.consents.get(consent.key)
        if current is not None and current["metadata"]["resourceVersion"] == consent.resource_version:
            self.cluster.delete_consent(consent.key)
        await self.cluster.answer()

    async def list_consents(self) -> AsyncIterator[Page]:
        """List the consents."""
        await self.cluster.arrive()
        page = Page(list(self.cluster.consents.values()), self.cluster.version)
        await self.cluster.answer()
        yield page
