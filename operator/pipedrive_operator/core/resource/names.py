"""Names of the API: group, kind, labels and annotations, and the key of an object."""

from dataclasses import dataclass
from typing import Final

GROUP: Final = "pipedrive-operator.io"
VERSION: Final = "v1alpha1"
KIND: Final = "PipedriveCredential"
PLURAL: Final = "pipedrivecredentials"
SHORT_NAME: Final = "pdc"
CONSENT_KIND: Final = "PipedriveConsent"
CONSENT_PLURAL: Final = "pipedriveconsents"
CONSENT_SHORT_NAME: Final = "pdcon"
CATEGORY: Final = "pipedrive"
FIELD_MANAGER: Final = "pipedrive-operator"
"""Under which name the API server records what the operator sets; each release and replica has the same one."""
LABEL_CREDENTIAL: Final = f"{GROUP}/credential"
"""On every Secret that we write: the name of its credential. The watch of Secrets selects by it."""
ANNOTATION_MANAGED: Final = f"{GROUP}/managed"
"""On every Secret that we write: our data keys, labels and annotations, so that we can remove them later."""
ANNOTATION_DIGEST: Final = f"{GROUP}/digest"
"""On every Secret that we write: a digest of our data, which reveals an edit after a restart, even without Vault."""
ANNOTATION_ADOPT: Final = f"{GROUP}/adopt"
"""On a Secret of someone else: the credential that may take it over."""
ANNOTATION_REVISION: Final = f"{GROUP}/revision"
"""On the Secret of a credential with spec.rollout: the revision of the published values."""
ANNOTATION_REQUESTED_AT: Final = f"{GROUP}/requested-at"
"""On a credential: any new value requests a check now."""
LONGEST_REQUESTED_AT: Final = 256
"""How many characters of `requested-at` the status holds; the rest does not distinguish requests."""
ANNOTATION_REQUEST: Final = f"{GROUP}/request"
"""On a credential, beside `requested-at`: `refresh` requests a refresh instead of a check."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Key:
    """The namespace and name of an object."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """Format it as kubectl does."""
        return f"{self.namespace}/{self.name}"
