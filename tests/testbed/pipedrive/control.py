"""The control API under `/_simulator/`: other processes set up, break and inspect the simulator with it."""

import inspect
from collections.abc import Callable
from http import HTTPStatus
from json import JSONDecodeError
from typing import Any

from aiohttp import web
from pydantic import ValidationError
from pydantic_core import to_json

from testbed.pipedrive.commands import Commands
from testbed.pipedrive.simulation import Simulation

PREFIX = "/_simulator/"

View = Callable[[], object]


class Control:
    """`GET` reads a view; `POST` sends a command with a JSON object of arguments."""

    def __init__(self, simulation: Simulation) -> None:
        """Serve one simulation."""
        self._commands = Commands(simulation)
        self._views: dict[str, View] = {
            "": self._overview,
            "health": lambda: {"ok": True},
            "state": simulation.state,
            "switches": lambda: simulation.switches,
            "ledger": lambda: {
                "calls": simulation.ledger.calls,
                "double_spent": simulation.ledger.double_spent(),
                "overlaps": simulation.ledger.overlaps(),
            },
        }

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.get(PREFIX + "{name:.*}", self.view), web.post(PREFIX + "{name:.+}", self.command)]

    async def view(self, request: web.Request) -> web.Response:
        """Respond with a view of the simulation."""
        view = self._views.get(request.match_info["name"])
        return _failed(HTTPStatus.NOT_FOUND, "no such view") if view is None else _answer(view())

    async def command(self, request: web.Request) -> web.Response:
        """Carry out a command; 400 for wrong arguments, 404 for something that does not exist."""
        try:
            result = self._commands[request.match_info["name"]](**await _arguments(request))
            return _answer(await result if inspect.isawaitable(result) else result)
        except KeyError as missing:
            return _failed(HTTPStatus.NOT_FOUND, f"not found: {missing}")
        except (ValidationError, ValueError, TypeError) as wrong:
            return _failed(HTTPStatus.BAD_REQUEST, str(wrong))

    def _overview(self) -> dict[str, object]:
        views = [name for name in self._views if name]
        return {"GET": views, "POST": self._commands.summaries()}


async def _arguments(request: web.Request) -> dict[str, Any]:
    if not request.can_read_body:
        return {}
    try:
        arguments = await request.json()
    except JSONDecodeError as broken:
        message = f"not JSON: {broken}"
        raise ValueError(message) from broken
    if not isinstance(arguments, dict):
        message = "the arguments must be a JSON object"
        raise TypeError(message)
    return arguments


def _answer(result: object) -> web.Response:
    return web.Response(body=to_json(result), content_type="application/json")


def _failed(status: HTTPStatus, error: str) -> web.Response:
    return web.json_response({"error": error}, status=status)
