"""An admission webhook on loopback that a test controls, and its registration with a real API server."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from testbed.control_plane import ControlPlane

WEBHOOK_NAME: Final = "secrets.policy.example.com"
NOTHING_LISTENS: Final = "https://127.0.0.1:1/review"
_GROUP: Final = "admissionregistration.k8s.io"


@dataclass
class AdmissionWebhook:
    """Responds to each review with `response`, unless `broken` says otherwise."""

    control_plane: ControlPlane
    namespace: str
    url: str = NOTHING_LISTENS
    response: Mapping[str, Any] = field(default_factory=lambda: {"allowed": True})
    broken: web.Response | None = None
    """What to answer in place of a review."""
    hangs: bool = False
    registered: list[str] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def deny(self, **status: Any) -> None:
        """Deny every request from now on, with a status that the test chooses."""
        self.response = {"allowed": False, "status": status}

    def mutate(self, *operations: Mapping[str, Any]) -> None:
        """Allow every request, and change the object by a JSON patch (RFC 6902)."""
        patch = base64.b64encode(json.dumps(operations).encode()).decode()
        self.response = {"allowed": True, "patchType": "JSONPatch", "patch": patch}

    async def register(
        self,
        resource: str = "secrets",
        *,
        group: str = "",
        version: str = "v1",
        operations: Sequence[str] = ("CREATE", "UPDATE"),
        mutating: bool = False,
    ) -> None:
        """Let the API server call the webhook for a resource in the namespace, and refuse writes if it cannot."""
        kind = f"{'Mutating' if mutating else 'Validating'}WebhookConfiguration"
        rule = {"apiGroups": [group], "apiVersions": [version], "operations": operations, "resources": [resource]}
        webhook = {
            "name": WEBHOOK_NAME,
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "timeoutSeconds": 1,
            "clientConfig": {"url": self.url, "caBundle": _authority(self.control_plane)},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}},
            "rules": [rule],
        }
        name = f"{kind.lower()}/{self.namespace}"
        manifest = {"apiVersion": f"{_GROUP}/v1", "kind": kind, "metadata": {"name": self.namespace}}
        await asyncio.to_thread(
            self.control_plane.kubectl, "create", "--filename=-", stdin=json.dumps(manifest | {"webhooks": [webhook]})
        )
        self.registered.append(name)

    async def answer(self, request: web.Request) -> web.Response:
        """Respond to a review."""
        review = await request.json()
        if self.hangs:
            await self.ended.wait()
        if self.broken is not None:
            return web.Response(status=self.broken.status, text=self.broken.text)
        response = {"uid": review["request"]["uid"], **self.response}
        return web.json_response({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})


@asynccontextmanager
async def serving(control_plane: ControlPlane, namespace: str) -> AsyncIterator[AdmissionWebhook]:
    """Serve a webhook for one namespace; unregister it at the end."""
    webhook = AdmissionWebhook(control_plane, namespace)
    app = web.Application()
    app.router.add_post("/review", webhook.answer)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=_server_context(control_plane)).start()
        webhook.url = f"https://127.0.0.1:{runner.addresses[0][1]}/review"
        yield webhook
    finally:
        webhook.ended.set()
        for name in webhook.registered:
            await asyncio.to_thread(control_plane.kubectl, "delete", name)
        await runner.cleanup()


def _server_context(control_plane: ControlPlane) -> ssl.SSLContext:
    pair = control_plane.serving_certificate("webhook", ["127.0.0.1"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.public, pair.key)
    return context


def _authority(control_plane: ControlPlane) -> str:
    return base64.b64encode(control_plane.ca.read_bytes()).decode()
