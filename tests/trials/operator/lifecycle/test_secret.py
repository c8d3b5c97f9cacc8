"""The target Secret: it is repaired, renamed, adopted, kept or deleted, and a foreign Secret is never changed."""

import base64
from collections.abc import Iterator

import pytest

from support.tenant import Tenant, eventually
from testbed.openbao import OpenBao

pytestmark = pytest.mark.usefixtures("operator")

REPAIRED_WITHIN = 1.0


@pytest.fixture
def sealed(openbao: OpenBao) -> Iterator[OpenBao]:
    """Provide a Vault that a test may seal."""
    yield openbao
    openbao.unseal()


def _secret(name: str, **metadata: object) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, **metadata},
        "stringData": {"password": "theirs"},
    }


def test_an_edited_secret_is_repaired_within_a_second(tenant: Tenant) -> None:
    """No request is sent to Pipedrive. Keys that someone else added stay."""
    tenant.apply_api_token()
    good = tenant.wait_until_published()["api_token"]
    theirs = {"metadata": {"labels": {"team": "crm"}, "annotations": {"note": "ours"}}, "stringData": {"extra": "x"}}
    tenant.patch("secret", "acme", theirs)
    eventually(lambda: "extra" in (tenant.secret() or {}))
    verified = len(tenant.calls())

    tenant.patch("secret", "acme", {"stringData": {"api_token": "edited"}})

    tenant.wait_for_value(good, within=REPAIRED_WITHIN)
    assert len(tenant.calls()) <= verified + 1  # a verification may be due at this moment
    found = tenant.get("secret", "acme")
    assert found is not None
    assert ("crm", "ours") == (found["metadata"]["labels"]["team"], found["metadata"]["annotations"]["note"])
    assert "x" == base64.b64decode(found["data"]["extra"]).decode()


def test_a_deleted_secret_is_created_again_within_a_second_while_vault_is_sealed(
    tenant: Tenant, sealed: OpenBao
) -> None:
    """The operator remembers its content."""
    tenant.apply_api_token()
    good = tenant.wait_until_published()
    sealed.seal()

    tenant.kubectl("delete", "secret", "acme")

    tenant.wait_for_value(good["api_token"], within=REPAIRED_WITHIN)


def test_the_secret_is_deleted_with_its_credential(tenant: Tenant) -> None:
    """Kubernetes' garbage collector deletes it."""
    tenant.apply_api_token()
    tenant.wait_until_published()

    tenant.kubectl("delete", "pipedrivecredential", "acme")

    eventually(lambda: tenant.secret() is None, within=90)  # the collector discovers new kinds every 30 seconds


def test_a_retained_secret_stays_and_is_reused_by_the_next_credential(tenant: Tenant) -> None:
    """Its label still names the credential."""
    tenant.apply_api_token(target={"deletionPolicy": "Retain"})
    good = tenant.wait_until_published()
    owners = tenant.get("secret", "acme")["metadata"].get("ownerReferences")  # type: ignore[index]  # it exists

    tenant.kubectl("delete", "pipedrivecredential", "acme")
    assert (None, good) == (owners, tenant.secret())
    tenant.apply_api_token(target={"deletionPolicy": "Retain"})

    tenant.wait_until_published()


def test_after_a_rename_the_new_secret_appears_before_the_old_one_is_deleted(tenant: Tenant) -> None:
    """A workload that reads either of them always finds one."""
    tenant.apply_api_token()
    good = tenant.wait_until_published()
    tenant.patch("pipedrivecredential", "acme", {"spec": {"target": {"name": "new"}}})

    def is_gone() -> bool:
        old, new = tenant.secret("acme"), tenant.secret("new")
        assert good in (old, new)
        return old is None

    eventually(is_gone)
    assert good == tenant.secret("new")


def test_an_annotated_secret_is_adopted_and_keeps_its_other_keys(tenant: Tenant) -> None:
    """The message lists them."""
    tenant.create(_secret("acme", annotations={"pipedrive-operator.io/adopt": "acme"}))

    tenant.apply_api_token()

    secret = tenant.wait_until_published()
    assert ("theirs", tenant.api_token) == (secret["password"], secret["api_token"])
    assert "password" in tenant.conditions()["Ready"]["message"]


def test_a_foreign_secret_is_left_alone_until_it_is_handed_over(tenant: Tenant) -> None:
    """The message says how."""
    tenant.create(_secret("acme"))
    tenant.apply_api_token()
    assert "pipedrive-operator.io/adopt" in tenant.wait_for("SecretConflict")["message"]
    assert {"password": "theirs"} == tenant.secret()

    tenant.patch("pipedrivecredential", "acme", {"spec": {"target": {"name": "another"}}})

    tenant.wait_for("Published")
    assert {"password": "theirs"} == tenant.secret()


def test_two_credentials_never_share_a_target(tenant: Tenant) -> None:
    """The second one waits, and takes nothing from the first."""
    tenant.apply_api_token("first", target={"name": "shared"})
    tenant.wait_for("Published", "first")

    tenant.apply_api_token("second", target={"name": "shared"})

    tenant.wait_for("SecretConflict", "second")
    owner = tenant.get("secret", "shared")["metadata"]["ownerReferences"][0]["name"]  # type: ignore[index]
    assert "first" == owner


def test_a_credential_that_is_being_deleted_is_not_repaired(tenant: Tenant) -> None:
    """A finalizer delays its deletion. The repair for another credential shows that there was time."""
    tenant.apply_api_token("doomed")
    tenant.apply_api_token("other")
    tenant.wait_until_published("doomed")
    tenant.wait_until_published("other")
    tenant.patch("pipedrivecredential", "doomed", {"metadata": {"finalizers": ["example.com/hold"]}})
    tenant.kubectl("delete", "pipedrivecredential", "doomed", "--wait=false")

    tenant.kubectl("delete", "secret", "doomed")
    tenant.kubectl("delete", "secret", "other")

    eventually(lambda: tenant.secret("other"))
    assert tenant.secret("doomed") is None
    tenant.patch("pipedrivecredential", "doomed", {"metadata": {"finalizers": None}})
