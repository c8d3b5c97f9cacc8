"""The endpoints besides `users/me` that a workload such as n8n calls, as far as tests need them.

Every response names the company of the token, so that a test can distinguish companies.
"""

import itertools
from typing import Any

from aiohttp import web

from testbed.pipedrive.world import Company, User

Sent = dict[str, Any]


class WorkloadApi:
    """Deals, settings, files and webhooks of all companies."""

    def __init__(self) -> None:
        """Start without webhooks."""
        self._ids = itertools.count(1)
        self._hooks: dict[int, dict[int, Sent]] = {}

    def answer(self, request: web.Request, sent: Sent, user: User, company: Company) -> web.Response | None:
        """Respond to a request with an accepted token; `sent` is its parsed body. Return None for an unknown path."""
        hooks = self._hooks.setdefault(company.id, {})
        match (request.method, *request.match_info["path"].strip("/").split("/")):
            case "GET", "userSettings":
                data: object = {"company_domain": company.domain, "user_id": user.id}
            case "GET", "deals":
                data = [{"id": 1, "title": f"Deal of {company.domain}"}]
            case "GET", "dealFields":
                data = []
            case "POST", "files":
                data = {"id": next(self._ids), "name": f"{sent.get('file')} of {company.domain}"}
            case "GET", "webhooks":
                data = list(hooks.values())
            case "POST", "webhooks":
                number = next(self._ids)
                data = hooks[number] = {**sent, "id": number, "company_id": company.id}
            case "DELETE", "webhooks", text if text.isdigit():
                data = hooks.pop(int(text), None)
            case _:
                return None
        return web.json_response({"success": True, "data": data, "additional_data": {}})


async def read_sent(request: web.Request) -> Sent:
    """Return the fields of a JSON body or of a form; a file is represented by its name."""
    if request.content_type == "multipart/form-data":
        form = await request.post()
        return {name: value.filename if isinstance(value, web.FileField) else value for name, value in form.items()}
    body = await request.json() if request.content_type == "application/json" and request.can_read_body else {}
    return dict(body) if isinstance(body, dict) else {}
