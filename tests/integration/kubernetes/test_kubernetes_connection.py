"""How the operator connects to a real API server from a pod."""

from datetime import datetime
from http import HTTPStatus
from pathlib import Path

import pytest
from kubernetes.aio.config import incluster_config
from kubernetes.aio.config.incluster_config import InClusterConfigLoader

from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.endpoints import SECRETS
from pipedrive_operator.adapters.kubernetes.session import open_session
from pipedrive_operator.config.settings import KubernetesSettings
from pipedrive_operator.core.values.errors import ApiServerUnavailable
from support.builders import ABSENT
from testbed.control_plane import ControlPlane


class Pod:
    """The files and variables by which a pod finds its ServiceAccount."""

    def __init__(self, control_plane: ControlPlane, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Redirect the client library to a folder and to the control plane."""
        self._token = folder / "token"
        host, port = control_plane.server.removeprefix("https://").split(":")
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
        monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(self._token))
        monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(control_plane.ca))

    def mount(self, token: str) -> None:
        """Write the ServiceAccount's token."""
        self._token.write_text(token)


class TestConnection:
    """Connections with the ServiceAccount of a pod."""

    async def test_uses_the_service_account_token_of_a_pod(
        self, control_plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without a kubeconfig, both the requests and the watch use the ServiceAccount's files."""
        pod = Pod(control_plane, tmp_path, monkeypatch)
        pod.mount(control_plane.service_account_token("default", "default"))

        async with await Api.connect(KubernetesSettings()) as api:
            with pytest.raises(ApiServerUnavailable, match="system:serviceaccount:default:default"):
                await api.get(SECRETS.at(ABSENT))
        server, session = await open_session(KubernetesSettings())
        async with session, session.get(f"{server}/apis") as response:
            assert response.status == HTTPStatus.OK

    async def test_follows_a_rotated_token(
        self, control_plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An open session sends the new token after the library has read the file again."""
        expired = property(lambda _: datetime.min, lambda *_: None)  # noqa: DTZ901  the library compares naive times
        monkeypatch.setattr(InClusterConfigLoader, "token_expires_at", expired, raising=False)
        pod = Pod(control_plane, tmp_path, monkeypatch)
        pod.mount("not-a-token")
        server, session = await open_session(KubernetesSettings())

        pod.mount(control_plane.service_account_token("default", "default"))
        async with session, session.get(f"{server}/apis") as response:
            assert response.status == HTTPStatus.OK
