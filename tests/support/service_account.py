"""Sets up a tenant's ServiceAccount as docs/vault.md says: which user may request its tokens."""

import json

from testbed.control_plane import ControlPlane


def allow_tokens(control_plane: ControlPlane, namespace: str, *accounts: str, user: str) -> None:
    """Let a user request tokens of these ServiceAccounts in a namespace, and of no others."""
    name = "pipedrive-operator-tokens"
    rule = {"apiGroups": [""], "resources": ["serviceaccounts/token"], "verbs": ["create"]}
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": name},
        "rules": [rule | {"resourceNames": list(accounts)}],
    }
    control_plane.kubectl("apply", f"--namespace={namespace}", "--filename=-", stdin=json.dumps(role))
    binding = ("rolebinding", name, f"--role={name}", f"--user={user}")
    control_plane.kubectl("create", *binding, f"--namespace={namespace}")
