"""The cache: what it keeps, and which credentials a change affects."""

from dataclasses import replace
from typing import Any

import pytest

from pipedrive_operator.controller.cache import Cache
from pipedrive_operator.controller.store import NOTHING
from pipedrive_operator.core.decision.sources import GrantWithClient, Source, resolve
from pipedrive_operator.core.grant.document import OPERATOR, TenantIdentity, VaultLocation
from pipedrive_operator.core.publication.target import read_target
from pipedrive_operator.core.resource.credential import AnyCredential, Credential, UnreadableCredential, read_credential
from pipedrive_operator.core.resource.names import KIND, LABEL_CREDENTIAL, Key
from pipedrive_operator.core.values.errors import ApiServerUnavailable, InvalidSpec
from support.builders import RULES

ANYWHERE = replace(RULES, connections={"default": replace(RULES.connections["default"], path_prefixes=("",))})


def key(name: str) -> Key:
    """Build a key."""
    return Key(namespace="crm", name=name)


def location(path: str) -> VaultLocation:
    """Build the location of a grant."""
    return VaultLocation(connection="default", mount="secret", path=path)


def credential(name: str, version: int, **changes: Any) -> dict[str, Any]:
    """Build a credential as it is served; `changes` go into its metadata, grant, target and status."""
    grant = {"path": changes.pop("grant", f"grants/{name}")}
    metadata = {
        "namespace": "crm",
        "name": name,
        "uid": f"uid-of-{name}",
        "generation": 1,
        "creationTimestamp": "2026-03-01T00:00:00Z",
    }
    spec = {
        "oauth2": {"client": {"app": "crm-sync"}, "grant": grant},
        "target": {"name": changes.pop("target", name)},
    }
    status = changes.pop("status", {})
    return {
        "metadata": metadata | changes | {"resourceVersion": str(version)},
        "spec": spec,
        "status": status,
    }


def secret(name: str, version: int, *, of: str | None = "acme", **changes: Any) -> dict[str, Any]:
    """Build a Secret that is labelled for a credential; `changes` go into its metadata."""
    labels = {LABEL_CREDENTIAL: of} if of else {}
    metadata = {"namespace": "crm", "name": name, "uid": f"uid-of-{name}", "labels": labels}
    return {"metadata": metadata | changes | {"resourceVersion": str(version)}, "data": {}}


@pytest.fixture
def cache() -> Cache:
    """Return an empty cache."""
    return Cache(lambda credential: resolve(credential, ANYWHERE))


@pytest.mark.parametrize("metadata", [None, [], "crm/acme", {}, {"namespace": "crm"}, {"namespace": "crm", "name": 7}])
def test_an_object_without_a_key_is_unusable(cache: Cache, metadata: object) -> None:
    """It comes from a broken proxy, and it is no defect."""
    for see in (cache.see_credential, cache.see_secret):
        with pytest.raises(ApiServerUnavailable):
            see("MODIFIED", {"metadata": metadata})


class TestCredentials:
    """What is seen of credentials."""

    def test_a_new_credential_needs_a_pass(self, cache: Cache) -> None:
        """It is kept as well."""
        assert cache.see_credential(None, credential("acme", 1)) == {key("acme")}

        assert cache.credential(key("acme")) == read_credential(credential("acme", 1))
        assert set(cache.keys) == {key("acme")}

    def test_a_new_status_is_kept_and_needs_no_pass(self, cache: Cache) -> None:
        """Otherwise each report would cause another pass."""
        cache.see_credential("ADDED", credential("acme", 1))

        assert cache.see_credential("MODIFIED", credential("acme", 2, status={"secretName": "x"})) == NOTHING

        known = cache.credential(key("acme"))
        assert known is not None
        assert known.status.secret_name == "x"

    @pytest.mark.parametrize(
        "change",
        [
            {"generation": 2},
            {"annotations": {"pipedrive-operator.io/requested-at": "now"}},
            {"deletionTimestamp": "2026-03-02T00:00:00Z"},
            {"uid": "another"},
        ],
    )
    def test_any_other_change_needs_a_pass(self, cache: Cache, change: dict[str, Any]) -> None:
        """A spec, an annotation, a deletion, a new object under the old name."""
        cache.see_credential("ADDED", credential("acme", 1))

        assert cache.see_credential("MODIFIED", credential("acme", 2, **change)) == {key("acme")}

    def test_an_older_version_changes_nothing(self, cache: Cache) -> None:
        """A list from before the last event of the watch is ignored; versions are compared as numbers."""
        cache.see_credential("MODIFIED", credential("acme", 10, generation=2))

        assert cache.see_credential(None, credential("acme", 9)) == NOTHING

        known = cache.credential(key("acme"))
        assert known is not None
        assert known.generation == 2

    def test_an_edit_in_the_answer_to_our_write_needs_a_pass_once_the_watch_delivers_it(self, cache: Cache) -> None:
        """Someone edits while we patch the status: the answer is newer than the event, which still counts."""
        cache.see_credential("ADDED", credential("acme", 1))
        cache.keep_credential(read_credential(credential("acme", 3, generation=2)))

        assert cache.see_credential("MODIFIED", credential("acme", 2, generation=2)) == {key("acme")}
        assert cache.see_credential("MODIFIED", credential("acme", 3, generation=2)) == NOTHING

        known = cache.credential(key("acme"))
        assert known is not None
        assert known.resource_version == "3"

    def test_an_edit_in_the_answer_to_our_write_counts_even_if_an_older_event_comes_first(self, cache: Cache) -> None:
        """That event shows nothing new itself, and the one of the edit comes too late to be looked at."""
        cache.see_credential("ADDED", credential("acme", 1))
        cache.keep_credential(read_credential(credential("acme", 4, generation=2)))

        assert cache.see_credential("MODIFIED", credential("acme", 2)) == {key("acme")}
        assert cache.see_credential("MODIFIED", credential("acme", 3, generation=2)) == NOTHING

    def test_a_deleted_credential_is_forgotten_and_needs_a_pass(self, cache: Cache) -> None:
        """A second event of its deletion changes nothing."""
        cache.see_credential("ADDED", credential("acme", 1))

        assert cache.see_credential("DELETED", credential("acme", 2)) == {key("acme")}
        assert cache.see_credential("DELETED", credential("acme", 2)) == NOTHING

        assert cache.credential(key("acme")) is None
        assert cache.oldest_sharer(location("grants/acme"), OPERATOR) is None

    def test_a_deleted_credential_is_not_restored_by_an_older_list_or_response(self, cache: Cache) -> None:
        """Only a newer object under its name does."""
        cache.see_credential("ADDED", credential("acme", 1))
        cache.see_credential("DELETED", credential("acme", 5))

        cache.keep_credential(read_credential(credential("acme", 4)))
        assert cache.see_credential(None, credential("acme", 3)) == NOTHING
        assert cache.credential(key("acme")) is None

        assert cache.see_credential("ADDED", credential("acme", 6, uid="another")) == {key("acme")}

    def test_a_late_event_of_a_deletion_spares_its_successor(self, cache: Cache) -> None:
        """A list may show the new object before the watch delivers the deletion of the old one."""
        cache.see_credential(None, credential("acme", 6, uid="another"))

        assert cache.see_credential("DELETED", credential("acme", 5)) == NOTHING
        assert cache.credential(key("acme")) is not None

    def test_a_source_is_resolved_once_for_each_change_of_the_spec(self) -> None:
        """Several places of a pass need it, and a pass that finds nothing to do must stay cheap, as must a report."""
        resolved: list[str] = []

        def count(credential: AnyCredential) -> Source:
            resolved.append(credential.resource_version)
            return resolve(credential, ANYWHERE)

        cache = Cache(count)
        cache.see_credential(None, credential("acme", 1))
        cache.see_credential("MODIFIED", credential("acme", 2, generation=2, target="crm-token"))
        cache.keep_credential(read_credential(credential("acme", 3, target="crm-token", status={"secretName": "x"})))
        for _ in range(3):
            assert isinstance(cache.source(key("acme")), GrantWithClient)
            cache.oldest_sharer(location("grants/acme"), OPERATOR)

        assert ["1", "2"] == resolved

    def test_a_wrong_spec_is_kept_as_what_is_wrong_with_it(self, cache: Cache) -> None:
        """It shares no grant, and says why."""
        body = credential("acme", 1)
        body["spec"]["vault"] = {"mount": "another"}
        cache.see_credential(None, body)

        source = cache.source(key("acme"))

        assert isinstance(source, InvalidSpec)
        assert "spec.vault.mount" in source.message
        assert source.__traceback__ is None
        assert cache.oldest_sharer(location("grants/acme"), OPERATOR) is None

    def test_an_unreadable_spec_is_kept_too(self, cache: Cache) -> None:
        """The status of its credential must say what is wrong."""
        body = credential("acme", 1) | {"spec": {}}

        assert {key("acme")} == cache.see_credential(None, body)

        assert isinstance(cache.credential(key("acme")), UnreadableCredential)
        assert {key("acme")} == cache.see_credential("MODIFIED", credential("acme", 2, generation=2))
        assert isinstance(cache.credential(key("acme")), Credential)

    def test_the_oldest_sharer_of_a_grant_is_known(self, cache: Cache) -> None:
        """The time of creation decides, then the uid. When it goes, the next one is the oldest."""
        names = []
        for name, created in (("c", "02"), ("b", "01"), ("a", "02")):
            body = credential(name, 1, grant="shared", creationTimestamp=f"2026-03-{created}T00:00:00Z")
            cache.see_credential(None, body)

        while (oldest := cache.oldest_sharer(location("shared"), OPERATOR)) is not None:
            names.append(oldest.credential.key.name)
            cache.forget_credential(oldest.credential.key, 9)

        assert ["b", "a", "c"] == names

    def test_sharers_with_another_vault_identity_have_an_oldest_one_of_their_own(self, cache: Cache) -> None:
        """A tenant that names a grant it cannot read is not asked about."""
        cache.see_credential(None, credential("acme", 1, grant="shared"))

        tenant = TenantIdentity(namespace="crm", service_account="default", role="crm")

        assert cache.oldest_sharer(location("shared"), tenant) is None

    def test_credentials_that_share_a_grant_or_a_target_need_a_pass_too(self, cache: Cache) -> None:
        """A credential that is created, changed or deleted may cause or end a conflict of younger ones."""
        cache.see_credential(None, credential("one", 1, grant="shared", uid="younger"))
        cache.see_credential(None, credential("two", 2, target="wanted"))

        cache.see_credential("ADDED", credential("new", 3, target="wanted", uid="older"))
        came = cache.take_sharers()
        cache.see_credential("MODIFIED", credential("new", 4, generation=2, grant="shared", uid="older"))
        moved = cache.take_sharers()
        cache.see_credential("DELETED", credential("new", 5))
        gone = cache.take_sharers()

        assert {key("new"), key("two")} == came
        assert {key("one"), key("two"), key("new")} >= moved >= {key("one"), key("two")}
        assert {key("one")} == gone

    def test_sharers_are_taken_once(self, cache: Cache) -> None:
        """However many changes there were: deleting thousands of sharers must not visit the others each time."""
        for number in range(10):
            cache.see_credential(None, credential(f"sharer-{number}", number + 1, grant="shared"))
        cache.take_sharers()
        for number in range(5):
            cache.see_credential("DELETED", credential(f"sharer-{number}", 100 + number))

        assert {key(f"sharer-{number}") for number in range(5, 10)} == cache.take_sharers()
        assert NOTHING == cache.take_sharers()

    def test_a_credential_that_shares_nothing_needs_one_pass(self, cache: Cache) -> None:
        """It is that of the credential itself."""
        cache.see_credential(None, credential("acme", 1))
        cache.see_credential("MODIFIED", credential("acme", 2, generation=2, target="moved"))

        assert NOTHING == cache.take_sharers()

    def test_a_younger_sharer_of_a_grant_never_causes_a_pass_of_an_older_one(self, cache: Cache) -> None:
        """The oldest one decides about the client, so others can come, change and go."""
        cache.see_credential(None, credential("victim", 1, grant="shared", uid="1"))
        younger = {"grant": "shared", "uid": "2"}

        cache.see_credential("ADDED", credential("hostile", 2, **younger))
        cache.see_credential("MODIFIED", credential("hostile", 3, generation=2, grant="alone", uid="2"))
        cache.see_credential("DELETED", credential("hostile", 4))

        assert NOTHING == cache.take_sharers()

    def test_a_change_that_claims_nothing_else_causes_no_pass_of_a_sharer(self, cache: Cache) -> None:
        """An annotation a second must not cause a pass a second of each of three thousand sharers."""
        for number in range(3):
            cache.see_credential(None, credential(f"sharer-{number}", number, grant="shared"))
        cache.take_sharers()
        annotated = credential("sharer-0", 10, grant="shared", annotations={"pipedrive-operator.io/requested-at": "1"})

        assert {key("sharer-0")} == cache.see_credential("MODIFIED", annotated)
        assert NOTHING == cache.take_sharers()


class TestSecrets:
    """What is seen of Secrets."""

    @pytest.fixture(autouse=True)
    def acme(self, cache: Cache) -> None:
        """Let there be a credential."""
        cache.see_credential(None, credential("acme", 1))

    def test_a_changed_secret_affects_the_credential_on_its_label(self, cache: Cache) -> None:
        """It is kept under its own name and for its credential."""
        assert cache.see_secret("ADDED", secret("pipedrive", 2)) == {key("acme")}
        assert cache.see_secret("MODIFIED", secret("pipedrive", 3)) == {key("acme")}

        target = read_target(secret("pipedrive", 3))
        assert cache.secret(key("pipedrive")) == target
        owner = cache.credential(key("acme"))
        assert owner is not None
        assert cache.secrets_of(owner) == [target]

    def test_our_own_write_affects_no_credential(self, cache: Cache) -> None:
        """Neither its event nor an older one contains anything new."""
        cache.keep_secret(read_target(secret("pipedrive", 3)))

        assert cache.see_secret("MODIFIED", secret("pipedrive", 3)) == NOTHING
        assert cache.see_secret("MODIFIED", secret("pipedrive", 2)) == NOTHING

    def test_our_own_write_is_not_read_a_second_time(self, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
        """Two of the three events of a publication are echoes of it, and a list repeats everything that is known."""
        cache.keep_secret(read_target(secret("pipedrive", 3)))
        cache.keep_credential(read_credential(credential("acme", 4, status={"secretName": "pipedrive"})))
        for read in ("read_target", "read_credential"):
            monkeypatch.setattr(f"pipedrive_operator.controller.cache.{read}", None)

        assert cache.see_secret("ADDED", secret("pipedrive", 3)) == NOTHING
        assert cache.see_credential("MODIFIED", credential("acme", 4)) == NOTHING

    def test_our_own_late_answer_does_not_hide_what_came_after(self, cache: Cache) -> None:
        """An answer that comes later than the event of the next change, or of the deletion, is dropped."""
        cache.see_secret("MODIFIED", secret("pipedrive", 4))
        cache.keep_secret(read_target(secret("pipedrive", 3)))
        newer = cache.secret(key("pipedrive"))
        assert newer is not None
        assert newer.resource_version == "4"

        cache.see_secret("DELETED", secret("pipedrive", 6))
        cache.keep_secret(read_target(secret("pipedrive", 5)))
        assert cache.secret(key("pipedrive")) is None

    def test_a_deleted_secret_affects_its_credential(self, cache: Cache) -> None:
        """Its deletion by ourselves does too, once."""
        cache.see_secret("ADDED", secret("pipedrive", 2))

        assert cache.forget_secret(key("pipedrive"), 2) == {key("acme")}
        assert cache.see_secret("DELETED", secret("pipedrive", 3)) == NOTHING

        owner = cache.credential(key("acme"))
        assert owner is not None
        assert cache.secrets_of(owner) == []

    def test_a_relabelled_secret_affects_both_credentials(self, cache: Cache) -> None:
        """They are the credential of the old label and that of the new one."""
        cache.see_credential(None, credential("other", 1))
        cache.see_secret("ADDED", secret("pipedrive", 2))

        assert cache.see_secret("MODIFIED", secret("pipedrive", 3, of="other")) == {key("acme"), key("other")}

    def test_its_owner_and_the_credentials_that_want_its_name_are_affected(self, cache: Cache) -> None:
        """A label may be wrong, and a name may become free."""
        cache.see_credential(None, credential("waiting", 1, target="pipedrive"))
        owner = [{"kind": KIND, "name": "acme", "uid": "uid-of-acme", "controller": True}]

        seen = cache.see_secret("ADDED", secret("pipedrive", 2, of="nobody", ownerReferences=owner))

        assert {key("acme")} == seen
        assert {key("waiting")} == cache.take_sharers()


class TestPruning:
    """What a complete list lacks."""

    def test_a_missing_object_is_forgotten_and_needs_a_pass(self, cache: Cache) -> None:
        """A deletion that the watch has missed is noticed."""
        cache.see_credential(None, credential("gone", 1, target="pipedrive"))
        cache.see_secret(None, secret("pipedrive", 2, of="gone"))

        assert cache.prune_secrets(set(), 9) == {key("gone")}
        assert cache.prune_credentials(set(), 9) == {key("gone")}

        assert cache.secret(key("pipedrive")) is None
        assert cache.credential(key("gone")) is None

    def test_an_object_newer_than_the_list_is_kept(self, cache: Cache) -> None:
        """The watch has delivered it since."""
        cache.see_credential("ADDED", credential("new", 10))

        assert cache.prune_credentials(set(), 9) == NOTHING
        assert cache.credential(key("new")) is not None

    def test_a_listed_object_is_kept(self, cache: Cache) -> None:
        """However old it is."""
        cache.see_credential(None, credential("old", 1))

        assert cache.prune_credentials({key("old")}, 9) == NOTHING
        assert cache.credential(key("old")) is not None

    def test_a_complete_list_syncs_the_cache(self, cache: Cache) -> None:
        """Once both kinds were listed."""
        assert not cache.synced
        cache.prune_secrets(set(), 1)
        assert not cache.synced
        cache.prune_credentials(set(), 1)
        assert cache.synced
