"""A synchronous client of the control API, with nothing but the standard library under the wire."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from pydantic import TypeAdapter

from testbed.pipedrive.ledger import Call, Ledger

CALLS = TypeAdapter(list[Call])
TIMEOUT = 10.0


class ControlError(Exception):
    """The simulator refused a command."""


class ControlClient:
    """Sets up, breaks and questions a simulator in another process; values are those of JSON."""

    def __init__(self, url: str) -> None:
        """Speak to the simulator at a URL such as `http://127.0.0.1:8765`."""
        self.url = url.rstrip("/")
        self._base = f"{self.url}/_simulator/"
        # A proxy named in the environment has no business on loopback.
        self._opener = build_opener(ProxyHandler({}))

    def command(self, name: str, **arguments: object) -> Any:
        """Give any command. Raises ControlError if it is refused."""
        body = json.dumps(arguments).encode()
        headers = {"Content-Type": "application/json"}
        return self._send(Request(self._base + name, data=body, headers=headers))

    def view(self, name: str) -> Any:
        """Read a view: `health`, `state`, `switches`, `ledger`."""
        return self._send(Request(self._base + name))

    def seed(self, document: Mapping[str, object]) -> dict[str, list[Any]]:
        """Build a world from a seed document; returns what was made, by section."""
        return dict(self.command("seed", **document))

    def set_switches(self, **switches: object) -> dict[str, Any]:
        """Change some switches; returns all."""
        return dict(self.command("set-switches", **switches))

    def add_fault(self, kind: str, **fields: object) -> int:
        """Put a fault in force; returns its id."""
        return int(self.command("add-fault", kind=kind, **fields)["id"])

    def clear_faults(self) -> None:
        """Lift every fault."""
        self.command("clear-faults")

    def install(self, client_id: str, company_id: int, user_id: int) -> dict[str, Any]:
        """Let a user accept an app; returns `grant_id` and the raw token `answer`."""
        return dict(self.command("install", client_id=client_id, company_id=company_id, user_id=user_id))

    def advance_clock(self, seconds: float) -> float:
        """Turn the clock forward; returns the new time."""
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
