"""Settings that put a secret where it does not belong are refused, unless a person accepts it explicitly."""

from typing import Any

import pytest
from pydantic import ValidationError

from pipedrive_operator.config.settings import PipedriveSettings, Settings
from pipedrive_operator.config.vault import TenantAuthSettings, VaultConnectionSettings

ELSEWHERE = "http://vault.example.com:8200"
HERE = ["http://127.0.0.1:8200", "http://localhost:8200", "http://[::1]:8200", "http://127.8.9.1", "https://vault"]


@pytest.mark.parametrize("proxy", ["http://user:word@proxy:3128", "http://user@proxy:3128", "http://:word@proxy:3128"])
def test_credentials_in_the_address_of_a_proxy_are_refused(proxy: str) -> None:
    """The settings become a ConfigMap. The message names the setting to use, and not the password."""
    with pytest.raises(ValidationError, match="proxyCredentialsFile") as caught:
        PipedriveSettings.model_validate({"proxy": proxy})

    assert "word" not in str(caught.value.errors()[0]["msg"]).replace("password", "")


def test_credentials_without_a_proxy_are_refused() -> None:
    """They would have no effect."""
    with pytest.raises(ValidationError, match="remove proxyCredentialsFile"):
        PipedriveSettings.model_validate({"proxyCredentialsFile": "/proxy"})


@pytest.mark.parametrize(
    "audience",
    [
        "https://kubernetes.default.svc",
        "https://kubernetes.default.svc.cluster.local",
        "https://kubernetes.default.svc.cluster.local:443/",
        "kubernetes.default.svc",
        "kubernetes",
        "api",
    ],
)
def test_the_usual_audiences_of_the_api_server_are_refused(audience: str) -> None:
    """Vault could use such a token as the ServiceAccount."""
    with pytest.raises(ValidationError, match="audience of the API server"):
        TenantAuthSettings.model_validate({"audience": audience})


@pytest.mark.parametrize("audience", ["vault", "https://vault.example.com", "kubernetes-vault", "my-api"])
def test_other_audiences_are_accepted(audience: str) -> None:
    """A name that only resembles one is fine."""
    assert audience == TenantAuthSettings.model_validate({"audience": audience}).audience


def test_plain_http_to_another_machine_is_refused() -> None:
    """The message names the setting that accepts it."""
    with pytest.raises(ValidationError, match="set insecure"):
        VaultConnectionSettings.model_validate({"address": ELSEWHERE})


@pytest.mark.parametrize("address", HERE)
def test_plain_http_to_this_machine_is_accepted(address: str) -> None:
    """The traffic does not leave the machine."""
    assert not VaultConnectionSettings.model_validate({"address": address}).is_plain


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1.example.com", "http://localhost.example.com", "http://0.0.0.0:8200", "http://10.0.0.1"],
)
def test_a_name_that_resembles_this_machine_is_another(address: str) -> None:
    """Only loopback counts."""
    with pytest.raises(ValidationError, match="set insecure"):
        VaultConnectionSettings.model_validate({"address": address})


@pytest.mark.parametrize(
    "changes",
    [
        {"apiUrl": "http://api.example.com"},
        {"oauthUrl": "http://oauth.example.com"},
        {"allowedApiDomains": ["https://*.pipedrive.com", "http://*.example.com"]},
    ],
)
def test_every_address_that_gets_a_token_is_checked(changes: dict[str, Any]) -> None:
    """This includes the patterns of the addresses that Pipedrive names."""
    with pytest.raises(ValidationError, match=r"set pipedrive\.insecure"):
        PipedriveSettings.model_validate(changes)

    assert PipedriveSettings.model_validate(changes | {"insecure": True}).plain_addresses


def test_what_was_accepted_is_listed() -> None:
    """`check` and the metric show the list."""
    vault = {"far": {"address": ELSEWHERE, "insecure": True}, "near": {"address": HERE[0], "insecure": True}}
    settings = Settings.model_validate(
        {"vault": {"connections": vault}, "pipedrive": {"apiUrl": "http://api.example.com", "insecure": True}}
    )

    assert ("vault far", "pipedrive") == settings.plain_connections
    assert () == Settings().plain_connections
