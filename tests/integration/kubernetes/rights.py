"""Gives a user exactly the permissions that the operator says it needs."""

import json
from collections.abc import Sequence

from pipedrive_operator.adapters.kubernetes.permissions import Permission
from testbed.control_plane import ControlPlane


def grant_rights(control_plane: ControlPlane, user: str, permissions: Sequence[Permission]) -> None:
    """Create a Role with permissions in one namespace, and bind it to a user."""
    rules = [
        {
            "apiGroups": [permission.group],
            "resources": ["/".join(filter(None, (permission.resource, permission.subresource)))],
            "verbs": [permission.verb],
            "resourceNames": [permission.name] if permission.name else [],
        }
        for permission in permissions
    ]
    (namespace,) = {permission.namespace for permission in permissions}
    group = "rbac.authorization.k8s.io"
    role = {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": {"name": user}, "rules": rules}
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": user},
        "roleRef": {"apiGroup": group, "kind": "Role", "name": user},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    }
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": [role, binding]})
    control_plane.kubectl("create", f"--namespace={namespace}", "--filename=-", stdin=manifest)
