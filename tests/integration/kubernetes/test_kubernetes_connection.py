"""How a pod reaches a real API server."""

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
    """What a pod finds of its ServiceAccount."""

    def __init__(self, control_plane: ControlPlane, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Point the client library to a folder and to the control plane."""
        self._token = folder / "token"
        host, port = control_plane.server.removeprefix("https://").split(":")
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
        monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(self._token))
        monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(control_plane.ca))

    def mount(self, token: str) -> None:
        """Write the token."""
        self._token.write_text(token)


class TestConnection:
    """How the API server is reached."""

    async def test_reads_the_token_of_a_pod(
        self, control_plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without a kubeconfig, the ServiceAccount's files are used, by the gateway and the watch alike."""
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
        """A session that was opened with one token sends the next, once the library looks again."""
        expired = property(lambda _: datetime.min, lambda *_: None)  # noqa: DTZ901  the library compares naive times
        monkeypatch.setattr(InClusterConfigLoader, "token_expires_at", expired, raising=False)
        pod = Pod(control_plane, tmp_path, monkeypatch)
        pod.mount("not-a-token")
        server, session = await open_session(KubernetesSettings())

        pod.mount(control_plane.service_account_token("default", "default"))
        async with session, session.get(f"{server}/apis") as response:
            assert response.status == HTTPStatus.OK
