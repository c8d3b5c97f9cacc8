"""The target Secret: repaired, renamed, adopted, kept or taken away, and never anybody else's."""

import base64
from collections.abc import Iterator

import pytest

from support.tenant import Tenant, eventually
from testbed.openbao import OpenBao

pytestmark = pytest.mark.usefixtures("operator")

REPAIRED_WITHIN = 1.0


@pytest.fixture
def sealed(openbao: OpenBao) -> Iterator[OpenBao]:
    """Give a Vault that a test may seal."""
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
    """Without a call to Pipedrive; what others put there stays."""
    tenant.apply_api_token()
    good = tenant.wait_until_published()["api_token"]
    theirs = {"metadata": {"labels": {"team": "crm"}, "annotations": {"note": "ours"}}, "stringData": {"extra": "x"}}
    tenant.patch("secret", "acme", theirs)
    eventually(lambda: "extra" in (tenant.secret() or {}))
    verified = len(tenant.calls())

    tenant.patch("secret", "acme", {"stringData": {"api_token": "edited"}})

    tenant.wait_for_value(good, within=REPAIRED_WITHIN)
    assert len(tenant.calls()) <= verified + 1  # a verification may be due just then
    found = tenant.get("secret", "acme")
    assert found is not None
    assert ("crm", "ours") == (found["metadata"]["labels"]["team"], found["metadata"]["annotations"]["note"])
    assert "x" == base64.b64decode(found["data"]["extra"]).decode()


def test_a_deleted_secret_is_back_within_a_second_while_vault_is_sealed(tenant: Tenant, sealed: OpenBao) -> None:
    """It is repaired from memory."""
    tenant.apply_api_token()
    good = tenant.wait_until_published()
    sealed.seal()

    tenant.kubectl("delete", "secret", "acme")

    tenant.wait_for_value(good["api_token"], within=REPAIRED_WITHIN)


def test_the_secret_goes_with_its_credential(tenant: Tenant) -> None:
    """Kubernetes collects it."""
    tenant.apply_api_token()
    tenant.wait_until_published()

    tenant.kubectl("delete", "pipedrivecredential", "acme")

    eventually(lambda: tenant.secret() is None, within=90)  # the collector learns of new kinds each half minute


def test_a_retained_secret_stays_and_is_taken_up_again(tenant: Tenant) -> None:
    """Its label still says whose it was."""
    tenant.apply_api_token(target={"deletionPolicy": "Retain"})
    good = tenant.wait_until_published()
    owners = tenant.get("secret", "acme")["metadata"].get("ownerReferences")  # type: ignore[index]  # it is there

    tenant.kubectl("delete", "pipedrivecredential", "acme")
    assert (None, good) == (owners, tenant.secret())
    tenant.apply_api_token(target={"deletionPolicy": "Retain"})

    tenant.wait_until_published()


def test_under_a_new_name_the_secret_appears_before_the_old_one_goes(tenant: Tenant) -> None:
    """A workload that reads either of them is never without."""
    tenant.apply_api_token()
    good = tenant.wait_until_published()
    tenant.patch("pipedrivecredential", "acme", {"spec": {"target": {"name": "new"}}})

    def is_gone() -> bool:
        old, new = tenant.secret("acme"), tenant.secret("new")
        assert good in (old, new)
        return old is None

    eventually(is_gone)
    assert good == tenant.secret("new")


def test_an_annotated_secret_is_adopted_and_its_own_keys_stay(tenant: Tenant) -> None:
    """They are listed in the message."""
    tenant.create(_secret("acme", annotations={"pipedrive-operator.io/adopt": "acme"}))

    tenant.apply_api_token()

    secret = tenant.wait_until_published()
    assert ("theirs", tenant.api_token) == (secret["password"], secret["api_token"])
    assert "password" in tenant.conditions()["Ready"]["message"]


def test_a_secret_of_somebody_else_is_left_alone_until_it_is_released(tenant: Tenant) -> None:
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
    """A finalizer of somebody's holds it; the next credential's repair shows that there was time for it."""
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
