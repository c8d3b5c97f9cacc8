"""The workload: credentials with API tokens, and the content of Vault and Pipedrive for them. Pure values.

Credential i of every batch names document i in Vault, so that Vault is filled once for all rounds.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

COMPANY: Final[Mapping[str, Any]] = {"company_id": 1, "domain": "acme"}
VAULT_PREFIX: Final = "pipedrive/benchmark/"
TOKEN_KEY: Final = "api_token"
API_VERSION: Final = "pipedrive-operator.io/v1alpha1"
KIND: Final = "PipedriveCredential"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Credentials in one namespace that are applied together."""

    namespace: str
    name: str
    size: int
    first: int = 0
    """The number of the first credential, and of its document in Vault."""

    @property
    def numbers(self) -> range:
        """The numbers of the credentials."""
        return range(self.first, self.first + self.size)

    @property
    def names(self) -> list[str]:
        """The names of the credentials and of their Secrets."""
        return [f"{self.name}-{index}" for index in self.numbers]

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The credentials as the API server takes them."""
        return [_credential(self.namespace, f"{self.name}-{index}", index) for index in self.numbers]

    def manifest(self) -> str:
        """Return the manifests for kubectl."""
        return json.dumps({"apiVersion": "v1", "kind": "List", "items": self.objects})


def api_token(index: int) -> str:
    """Return the API token of a user, in the length of Pipedrive's."""
    return f"{index:040x}"


def vault_path(index: int) -> str:
    """Return the path of that token in Vault."""
    return f"{VAULT_PREFIX}{index}"


def pipedrive_seed(size: int) -> dict[str, Any]:
    """Return a company with one user for each token."""
    users = [
        {"company_id": COMPANY["company_id"], "user_id": index + 1, "api_token": api_token(index)}
        for index in range(size)
    ]
    return {"companies": [COMPANY], "users": users}


def _credential(namespace: str, name: str, index: int) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"apiToken": {"path": vault_path(index)}, "account": {"companyDomain": COMPANY["domain"]}},
    }
