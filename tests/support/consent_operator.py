"""Plays the operator's part in a consent: prepares the link, and reports what a test decides about each answer."""

from dataclasses import dataclass, field
from typing import Any

from kubectl_pipedrive.kubectl import CONSENTS
from pipedrive_operator.core.values.consent_reasons import CONSENT_EFFECTS, ConsentReason, Stage
from support.plugin_world import PluginWorld, ahead

Json = dict[str, Any]
HOSTED = "https://pipedrive.example.com/callback"
LOOPBACK = "http://localhost:8000/callback"
ELSEWHERE = "https://intranet.example.com/done"
_ACCOUNT = {"companyDomain": "acme", "companyId": 12, "userId": 34}


@dataclass(kw_only=True)
class ConsentOperator:
    """Reacts to a consent that is created, and to each answer."""

    redirect_uri: str = HOSTED
    verdicts: list[ConsentReason] = field(default_factory=lambda: [ConsentReason.CONNECTED])
    """What becomes of each answer, in turn."""
    answers: list[Json] = field(default_factory=list)
    status: Json = field(default_factory=dict)
    """What the status of a prepared link has as well."""
    refuses: ConsentReason | None = None
    """Why no link is prepared."""

    def __call__(self, body: Json) -> None:
        """React, as the operator's watch would let it."""
        if body["kind"] != "PipedriveConsent":
            return
        if "answer" not in body["spec"]:
            self._prepare(body)
        else:
            self.answers.append(body["spec"]["answer"])
            self.report(body, self.verdicts.pop(0))

    def report(self, body: Json, reason: ConsentReason) -> None:
        """Report a reason about the newest answer."""
        stage = CONSENT_EFFECTS[reason].stage
        status = "True" if stage is Stage.CONNECTED else "False"
        condition = {"type": "Complete", "status": status, "reason": reason, "message": f"the message of {reason}"}
        body.setdefault("status", {})["conditions"] = [condition]
        body["status"]["observedGeneration"] = body["metadata"]["generation"]
        if stage is Stage.CONNECTED:
            body["status"]["account"] = _ACCOUNT

    def _prepare(self, body: Json) -> None:
        if self.refuses is not None:
            self.report(body, self.refuses)
            return
        self.report(body, ConsentReason.WAITING)
        name = f"{body['metadata']['namespace']}/{body['metadata']['name']}"
        page = {"pageUrl": f"https://pipedrive.example.com/consent/{name}"} if self.redirect_uri == HOSTED else {}
        body["status"] |= {
            "app": "crm-sync",
            "expiresAt": ahead(minutes=30),
            "redirectUri": self.redirect_uri,
            "url": "https://oauth.pipedrive.com/oauth/authorize?client_id=abc",
            **page,
            **self.status,
        }


def play(world: PluginWorld, operator: ConsentOperator, *reasons: ConsentReason) -> None:
    """Let the operator report these reasons one by one while the command waits; after them comes Ctrl-C."""
    left = list(reasons)

    def report(_: float) -> None:
        if not left:
            raise KeyboardInterrupt
        for body in world.kubectl.objects[CONSENTS]:
            body["metadata"]["generation"] = 2
            operator.report(body, left.pop(0))

    world.clock.on_sleep = report
