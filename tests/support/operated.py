"""Settings of an operator in tests: the real parts, short intervals, and a user of its own at the API server."""

from pathlib import Path
from typing import Any

from support.tenant import APP_PATH
from testbed.openbao import OpenBao

Json = dict[str, Any]


def settings_for(openbao: OpenBao, pipedrive_url: str, *, kubeconfig: Path, token_file: Path) -> Json:
    """Return settings, which a test may change before it starts the operator."""
    login = {"method": "token", "tokenFile": str(token_file)}
    return {
        "kubernetes": {"kubeconfig": str(kubeconfig), "operatorNamespace": "default"},
        "vault": {"connections": {"default": {"address": openbao.address, "auth": login}}},
        "pipedrive": {
            "apiUrl": pipedrive_url,
            "oauthUrl": pipedrive_url,
            "allowedApiDomains": ["http://127.0.0.1:*", "https://*.pipedrive.com"],
            "timeout": "5s",
            "apps": {"crm-sync": {"path": APP_PATH, "allowedNamespaces": ["*"]}},
        },
        "controller": {"pollInterval": "2s", "verifyInterval": "5s"},
        "leaderElection": {"enabled": False},
    }
