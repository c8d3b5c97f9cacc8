"""A small HTTP server in place of the API server, for responses that a real one does not give on demand."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from pipedrive_operator.config.settings import KubernetesSettings

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class FakeApiServer:
    """Gives every request the same response, and records it."""

    folder: Path
    address: str = ""
    requests: list[web.Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    answer: Answer = field(default_factory=lambda: say(200, {}))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Record a request and respond to it."""
        self.requests.append(request)
        self.bodies.append(await request.read())
        return await self.answer(request)

    def settings(
        self, user: dict[str, Any] | None = None, *, authority: Path | None = None, **changes: Any
    ) -> KubernetesSettings:
        """Write a kubeconfig for a user, and return settings that name it."""
        kubeconfig = self.folder / "kubeconfig"
        trust = {} if authority is None else {"certificate-authority": str(authority)}
        config = {
            "clusters": [{"name": "c", "cluster": {"server": self.address} | trust}],
            "users": [{"name": "u", "user": user or {"token": "a-token"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        kubeconfig.write_text(json.dumps(config))
        return KubernetesSettings(kubeconfig=kubeconfig, **changes)


def say(status: int, body: object) -> Answer:
    """Build a response with a JSON body, or with text or bytes unchanged."""

    async def answer(_: web.Request) -> web.StreamResponse:
        if isinstance(body, str):
            return web.Response(status=status, text=body)
        return web.json_response(body, status=status)

    return answer
