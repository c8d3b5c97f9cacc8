"""The contract of `ports.Secrets`, `ports.Credentials` and the lists, which the fake and the adapters must keep."""

from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from contracts.kubernetes_contract import ClusterPart
from contracts.wire import Loss
from pipedrive_operator.core.publication.target import TargetSecret, digest_of
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.errors import ApiServerUnavailable, SecretChanged, SecretExists
from support.manifests import encoded, published_secret

NAME = "pipedrive"
NEW = {"access_token": encoded("new"), "note": None}
STATUS: dict[str, Any] = {
    "observedGeneration": 1,
    "secretName": NAME,
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Published",
            "message": "the Secret holds a value that Pipedrive accepts",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-03-04T12:00:00Z",
        }
    ],
}


@dataclass(frozen=True)
class Notice:
    """An event to record."""

    reason: str = "GrantEscrowed"
    message: str = "Refreshed, and not yet stored"
    warning: bool = True


def key_of(cluster: ClusterPart, name: str = NAME) -> Key:
    """Return the key of a name in the cluster's namespace."""
    return Key(namespace=cluster.namespace, name=name)


async def created(cluster: ClusterPart, **data: str) -> TargetSecret:
    """Create a Secret through the port."""
    values = {"access_token": encoded("old"), "note": encoded("mine")} | data
    return await cluster.secrets.create(published_secret(cluster.namespace, NAME, data=values))


def patch_for(target: TargetSecret) -> dict[str, Any]:
    """Build a patch that replaces one value and removes another."""
    return {"metadata": {"resourceVersion": target.resource_version}, "data": NEW}


async def expect_unavailable(cluster: ClusterPart, loss: Loss, call: Awaitable[object]) -> None:
    """Make a call whose request or response is lost."""
    await cluster.lose(loss)
    with pytest.raises(ApiServerUnavailable):
        await call
    cluster.heal()


class TestSecrets:
    """The contract of `ports.Secrets`."""

    async def test_a_secret_that_does_not_exist_is_none(self, cluster: ClusterPart) -> None:
        """It is not an error."""
        assert await cluster.secrets.read(key_of(cluster)) is None

    async def test_a_secret_is_read_back_as_it_was_created(self, cluster: ClusterPart) -> None:
        """The creation itself returns the same Secret."""
        target = await created(cluster)

        assert await cluster.secrets.read(target.key) == target
        assert target.key == key_of(cluster)
        assert target.data == {"access_token": digest_of(encoded("old")), "note": digest_of(encoded("mine"))}
        assert target.uid
        assert not target.being_deleted

    async def test_a_secret_whose_name_is_taken_is_not_created(self, cluster: ClusterPart) -> None:
        """The error says so, and the existing Secret is unchanged."""
        target = await created(cluster)

        with pytest.raises(SecretExists):
            await created(cluster, access_token=encoded("new"))

        assert await cluster.secrets.read(target.key) == target

    async def test_a_patch_changes_only_what_it_names(self, cluster: ClusterPart) -> None:
        """A null removes a value."""
        target = await created(cluster, foreign=encoded("kept"))

        patched = await cluster.secrets.patch(target.key, patch_for(target))

        assert patched.data == {"access_token": digest_of(encoded("new")), "foreign": digest_of(encoded("kept"))}
        assert (patched.uid, patched.labels) == (target.uid, target.labels)
        assert patched.resource_version != target.resource_version
        assert await cluster.secrets.read(target.key) == patched

    async def test_a_patch_made_for_an_older_version_changes_nothing(self, cluster: ClusterPart) -> None:
        """Someone else has changed the Secret since it was read."""
        target = await created(cluster)
        await cluster.put_secret(NAME, data={"access_token": encoded("theirs")})

        with pytest.raises(SecretChanged):
            await cluster.secrets.patch(target.key, patch_for(target))

        now = await cluster.secrets.read(target.key)
        assert now is not None
        assert now.data["access_token"] == digest_of(encoded("theirs"))

    async def test_a_patch_of_a_deleted_secret_creates_nothing(self, cluster: ClusterPart) -> None:
        """It counts as changed."""
        target = await created(cluster)
        await cluster.delete_secret(NAME)

        with pytest.raises(SecretChanged):
            await cluster.secrets.patch(target.key, patch_for(target))

        assert await cluster.secrets.read(target.key) is None

    async def test_a_patch_that_changes_nothing_keeps_the_version(self, cluster: ClusterPart) -> None:
        """So the watch does not report it."""
        target = await created(cluster)
        same = {"metadata": {"resourceVersion": target.resource_version}, "data": {"note": encoded("mine")}}

        assert await cluster.secrets.patch(target.key, same) == target

    async def test_a_secret_is_deleted(self, cluster: ClusterPart) -> None:
        """A second deletion is no error."""
        target = await created(cluster)

        await cluster.secrets.delete(target)
        await cluster.secrets.delete(target)

        assert await cluster.secrets.read(target.key) is None

    async def test_a_secret_that_was_changed_is_not_deleted(self, cluster: ClusterPart) -> None:
        """That is no error, either."""
        target = await created(cluster)
        await cluster.put_secret(NAME, data={"access_token": encoded("theirs")})

        await cluster.secrets.delete(target)

        assert await cluster.secrets.read(target.key) is not None

    async def test_another_secret_of_the_same_name_is_not_deleted(self, cluster: ClusterPart) -> None:
        """It has another uid."""
        target = await created(cluster)
        await cluster.delete_secret(NAME)
        other = await created(cluster)

        await cluster.secrets.delete(replace(target, resource_version=other.resource_version))

        assert other.uid != target.uid
        assert await cluster.secrets.read(target.key) == other

    @pytest.mark.parametrize("loss", [Loss.REQUESTS, Loss.ANSWERS])
    async def test_a_lost_request_about_a_secret_is_unavailable(self, cluster: ClusterPart, loss: Loss) -> None:
        """This holds for reads, creations and patches, and for a conflict whose response is lost."""
        target = await created(cluster)
        await expect_unavailable(cluster, loss, cluster.secrets.read(target.key))
        await expect_unavailable(cluster, loss, cluster.secrets.create(published_secret(cluster.namespace, "other")))
        await expect_unavailable(cluster, loss, created(cluster))
        stale = patch_for(replace(target, resource_version="1"))
        await expect_unavailable(cluster, loss, cluster.secrets.patch(target.key, stale))
        await expect_unavailable(cluster, loss, cluster.secrets.patch(target.key, patch_for(target)))

        now, other = await cluster.secrets.read(target.key), await cluster.secrets.read(key_of(cluster, "other"))
        assert now is not None
        assert (now.data["access_token"] == digest_of(encoded("new"))) is (loss is Loss.ANSWERS)
        assert (other is not None) is (loss is Loss.ANSWERS)

    async def test_only_secrets_with_the_operators_label_are_listed(self, cluster: ClusterPart) -> None:
        """The list's resourceVersion is at least that of each object in it."""
        target = await created(cluster)
        await cluster.put_secret("foreign", metadata={"namespace": cluster.namespace, "name": "foreign"})

        found = await cluster.listed_secrets()

        as_of = found.pop("")
        assert found == {NAME: int(target.resource_version)}
        assert as_of >= int(target.resource_version)
        assert int((await cluster.secrets.patch(target.key, patch_for(target))).resource_version) > as_of


class TestCredentials:
    """The contract of `ports.Credentials`."""

    async def test_a_status_is_written_and_returned(self, cluster: ClusterPart) -> None:
        """The call returns the credential with its new status."""
        credential = await cluster.put_credential("acme")

        patched = await cluster.credentials.patch_status(credential.key, STATUS)

        assert patched is not None
        assert (patched.uid, patched.generation) == (
            credential.uid,
            credential.generation,
        )
        assert (patched.status.observed_generation, patched.status.secret_name) == (1, NAME)
        assert [condition.reason for condition in patched.status.conditions] == ["Published"]
        assert int(patched.resource_version) > int(credential.resource_version)

    async def test_a_patch_of_the_status_changes_only_what_it_names(self, cluster: ClusterPart) -> None:
        """A null removes a field."""
        credential = await cluster.put_credential("acme")
        await cluster.credentials.patch_status(credential.key, STATUS)

        patched = await cluster.credentials.patch_status(credential.key, {"secretName": None})

        assert patched is not None
        assert patched.status.secret_name is None
        assert [condition.reason for condition in patched.status.conditions] == ["Published"]

    async def test_an_unchanged_status_keeps_the_version(self, cluster: ClusterPart) -> None:
        """So the watch does not report it."""
        credential = await cluster.put_credential("acme")
        first = await cluster.credentials.patch_status(credential.key, STATUS)

        assert await cluster.credentials.patch_status(credential.key, STATUS) == first

    async def test_a_status_of_a_deleted_credential_is_not_written(self, cluster: ClusterPart) -> None:
        """The call returns None, and does not create the credential again."""
        assert await cluster.credentials.patch_status(key_of(cluster, "absent"), STATUS) is None

        assert "absent" not in await cluster.listed_credentials()

    @pytest.mark.parametrize("loss", [Loss.REQUESTS, Loss.ANSWERS])
    async def test_a_lost_status_is_unavailable(self, cluster: ClusterPart, loss: Loss) -> None:
        """This holds for a deleted credential, too. The status may have been written."""
        credential = await cluster.put_credential("acme")
        for key in (credential.key, key_of(cluster, "absent")):
            await cluster.lose(loss)
            with pytest.raises(ApiServerUnavailable):
                await cluster.credentials.patch_status(key, STATUS)
            cluster.heal()

        now = await cluster.credentials.patch_status(credential.key, {"observedGeneration": 1})
        assert now is not None
        assert (now.status.secret_name == NAME) is (loss is Loss.ANSWERS)

    async def test_all_credentials_are_listed(self, cluster: ClusterPart) -> None:
        """The list's resourceVersion is at least that of each object in it."""
        credential = await cluster.put_credential("acme")
        await cluster.put_credential("other")
        patched = await cluster.credentials.patch_status(credential.key, STATUS)
        assert patched is not None

        found = await cluster.listed_credentials()

        assert set(found) == {"", "acme", "other"}
        assert found["acme"] == int(patched.resource_version)
        assert found[""] >= int(patched.resource_version)

    @pytest.mark.parametrize("loss", [Loss.REQUESTS, Loss.ANSWERS])
    async def test_a_lost_list_is_unavailable(self, cluster: ClusterPart, loss: Loss) -> None:
        """It is not reported as an empty list."""
        await cluster.put_credential("acme")
        await cluster.lose(loss)

        with pytest.raises(ApiServerUnavailable):
            await cluster.listed_credentials()
        with pytest.raises(ApiServerUnavailable):
            await cluster.listed_secrets()

    async def test_an_event_is_recorded_once(self, cluster: ClusterPart) -> None:
        """The same Event is not recorded again at once; a different one is."""
        credential = await cluster.put_credential("acme")

        for event in (Notice(), Notice(), Notice(reason="ConsentRequired")):
            await cluster.credentials.record_event(credential, event)

        assert sorted(await cluster.reasons()) == ["ConsentRequired", "GrantEscrowed"]

    async def test_a_lost_event_is_unavailable(self, cluster: ClusterPart) -> None:
        """The next attempt records it."""
        credential = await cluster.put_credential("acme")
        await cluster.lose(Loss.REQUESTS)
        with pytest.raises(ApiServerUnavailable):
            await cluster.credentials.record_event(credential, Notice())
        cluster.heal()

        await cluster.credentials.record_event(credential, Notice())

        assert await cluster.reasons() == ["GrantEscrowed"]
