"""The names of the resource: group, kind, labels and annotations, and the key of an object."""

from dataclasses import dataclass
from typing import Final

GROUP: Final = "pipedrive-operator.io"
VERSION: Final = "v1alpha1"
KIND: Final = "PipedriveCredential"
PLURAL: Final = "pipedrivecredentials"
SHORT_NAME: Final = "pdc"
CATEGORY: Final = "pipedrive"
LABEL_CREDENTIAL: Final = f"{GROUP}/credential"
"""On every Secret that we write: the name of its credential. The watch of Secrets selects on it."""
ANNOTATION_MANAGED: Final = f"{GROUP}/managed"
"""On every Secret that we write: which data keys, labels and annotations are ours, so that dropped ones go."""
ANNOTATION_DIGEST: Final = f"{GROUP}/digest"
"""On every Secret that we write: a digest of our data, so that a hand edit shows after a restart without Vault."""
ANNOTATION_ADOPT: Final = f"{GROUP}/adopt"
"""On a Secret of somebody else: the credential that may take it over."""
ANNOTATION_REVISION: Final = f"{GROUP}/revision"
"""On the Secret of a credential with a rollout: which revision of the published values it holds."""
ANNOTATION_REQUESTED_AT: Final = f"{GROUP}/requested-at"
"""On a credential: any new value asks for a check now."""
LONGEST_REQUEST: Final = 256
"""As much of `requested-at` as the status holds; what follows does not tell one request from another."""
ANNOTATION_REQUEST: Final = f"{GROUP}/request"
"""On a credential, beside `requested-at`: `refresh` asks for a refresh instead of a check."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Key:
    """The namespace and name of an object."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """Write it as kubectl does."""
        return f"{self.namespace}/{self.name}"
