"""Labels, annotations and types of a Secret that a credential must not set, because they control something else.

The CRD's rules refuse them, and the operator refuses them again: an older CRD may have let them in.
"""

import re
from collections.abc import Iterator
from typing import Final

from pipedrive_operator.core.resource.names import GROUP
from pipedrive_operator.core.resource.spec import Target

TYPE_PATTERN: Final = "^([^/]*[.])?(kubernetes|k8s)[.]io/"
"""Types that Kubernetes fills or validates itself, such as kubernetes.io/service-account-token."""
NAME_PATTERN: Final = f"{TYPE_PATTERN}|^([^/]*[.])?{GROUP.replace('.', '[.]')}/"
"""Names of labels and annotations that mean something to Kubernetes or to this operator."""
EXEMPT: Final = "app.kubernetes.io/"
"""The prefix of the recommended labels, which mean something to people only."""


def reserved_fields(target: Target) -> Iterator[str]:
    """Yield a sentence for each field of a target that is reserved."""
    if target.type is not None and re.search(TYPE_PATTERN, target.type):
        yield (
            "spec.target.type: must not be a type of Kubernetes itself: leave it out for Opaque, or choose a name of "
            "your own such as example.com/pipedrive"
        )
    for kind, names in (("labels", target.labels), ("annotations", target.annotations)):
        for name in names:
            if re.search(NAME_PATTERN, name) and not name.startswith(EXEMPT):
                yield f"spec.target.{kind}: {name} is reserved for Kubernetes or the operator: remove it"
