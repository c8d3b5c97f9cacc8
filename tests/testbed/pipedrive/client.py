"""A synchronous client of the control API, based on the standard library alone."""

import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

from pydantic import TypeAdapter

from testbed.pipedrive.ledger import Call, Ledger

CALLS = TypeAdapter(list[Call])
TIMEOUT = 10.0


class ControlError(Exception):
    """The simulator refused a command."""


class ControlClient:
    """Sets up, breaks and inspects a simulator in another process; arguments and results are JSON values."""

    def __init__(self, url: str, *, authority: Path | None = None) -> None:
        """Use the simulator at a URL such as `http://127.0.0.1:8765`; with TLS, trust certificates of `authority`."""
        self.url = url.rstrip("/")
        self._base = f"{self.url}/_simulator/"
        # Requests to loopback must not go through a proxy that the environment names.
        tls = HTTPSHandler(context=ssl.create_default_context(cafile=authority))
        self._opener = build_opener(ProxyHandler({}), tls)

    def command(self, name: str, **arguments: object) -> Any:
        """Send a command. Raises ControlError if the simulator refuses it."""
        body = json.dumps(arguments).encode()
        headers = {"Content-Type": "application/json"}
        return self._send(Request(self._base + name, data=body, headers=headers))

    def view(self, name: str) -> Any:
        """Read a view: `health`, `state`, `switches`, `ledger`."""
        return self._send(Request(self._base + name))

    def seed(self, document: Mapping[str, object]) -> dict[str, list[Any]]:
        """Build a world from a seed document; returns the created objects by section."""
        return dict(self.command("seed", **document))

    def set_switches(self, **switches: object) -> dict[str, Any]:
        """Change some switches; returns all."""
        return dict(self.command("set-switches", **switches))

    def add_fault(self, kind: str, **fields: object) -> int:
        """Activate a fault; returns its id."""
        return int(self.command("add-fault", kind=kind, **fields)["id"])

    def clear_faults(self) -> None:
        """Remove every fault."""
        self.command("clear-faults")

    def install(self, client_id: str, company_id: int, user_id: int) -> dict[str, Any]:
        """Let a user accept an app; returns `grant_id` and the raw token `answer`."""
        return dict(self.command("install", client_id=client_id, company_id=company_id, user_id=user_id))

    def advance_clock(self, seconds: float) -> float:
        """Advance the clock; returns the new time."""
        return float(self.command("advance-clock", seconds=seconds))

    def ledger(self) -> Ledger:
        """Return a copy of the ledger, with all its queries."""
        return Ledger(CALLS.validate_python(self.view("ledger")["calls"]))

    def _send(self, request: Request) -> Any:
        try:
            with self._opener.open(request, timeout=TIMEOUT) as answer:
                return json.load(answer)
        except HTTPError as refused:
            with refused:
                raise ControlError(json.load(refused)["error"]) from refused
