"""Each sample with a running operator: it is published once its paths and its company are those of a tenant."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from pipedrive_operator.token_endpoint.tokens import Tokens
from support.tenant import Tenant

pytestmark = pytest.mark.usefixtures("operator")
SAMPLES = sorted((Path(__file__).parents[4] / "crds" / "samples").glob("*.yaml"))


def apply(tenant: Tenant, sample: Path) -> list[str]:
    """Apply a sample with the tenant's paths and company, and return the names of its credentials."""
    text = sample.read_text().replace("pipedrive/crm/", f"pipedrive/{tenant.namespace}/")
    manifests = list(yaml.safe_load_all(text.replace("companyDomain: acme", f"companyDomain: {tenant.domain}")))
    for manifest in manifests:
        tenant.create(manifest)
    return [one["metadata"]["name"] for one in manifests if one["kind"] == "PipedriveCredential"]


@pytest.fixture
def filled(tenant: Tenant) -> Tenant:
    """Write to Vault what the samples name: tokens, grants, and a client beside a grant."""
    app = tenant.openbao.read_secret("apps/crm-sync")
    assert app is not None
    tenant.store("acme-token", api_token=tenant.api_token)
    for name in ("acme", "acme-shared"):
        tenant.store(name, refresh_token=tenant.consent()["refresh_token"], **app)
    return tenant


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_is_published(filled: Tenant, sample: Path) -> None:
    """This holds for every credential in it."""
    names = apply(filled, sample)

    assert names
    for name in names:
        filled.wait_for("Published", name)


def test_n8n_finds_its_token_in_its_credential_file(filled: Tenant) -> None:
    """The file has the form that n8n's documentation describes."""
    (sample,) = (path for path in SAMPLES if path.stem == "n8n")
    for name in apply(filled, sample):
        filled.wait_for("Published", name)

    secret = filled.secret("n8n-credentials")

    assert secret is not None
    overwrites = json.loads(secret["overwrites.json"])
    assert filled.api_token == overwrites["pipedriveApi"]["apiToken"]
    assert "clientCredentials" == overwrites["pipedriveOAuth2Api"]["grantType"]


def test_the_token_endpoint_serves_what_the_sample_publishes(filled: Tenant, tmp_path: Path) -> None:
    """The default keys are sufficient."""
    (sample,) = (path for path in SAMPLES if path.stem == "n8n")
    apply(filled, sample)
    filled.wait_for("Published", "acme-n8n-oauth2")
    secret = filled.secret("n8n-oauth2-acme")
    assert secret is not None
    (tmp_path / "acme").mkdir()
    for key, value in secret.items():
        (tmp_path / "acme" / key).write_text(value)

    token = Tokens(tmp_path).read("acme")

    assert token is not None
    assert secret["access_token"] == token.access_token
    assert token.seconds_left(datetime.now(UTC)) > 0


def test_a_shared_grant_is_refreshed_once_for_both(filled: Tenant) -> None:
    """Both Secrets hold the same token."""
    seed = filled.stored("acme-shared")["refresh_token"]
    (sample,) = (path for path in SAMPLES if path.stem == "shared-grant")

    tokens = {filled.wait_until_published(name)["access_token"] for name in apply(filled, sample)}

    assert 1 == len(tokens)
    assert 1 == filled.pipedrive.ledger().spent(seed)
