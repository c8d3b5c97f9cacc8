"""A running n8n: its processes, and the requests that its editor makes."""

import http.cookiejar
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from n8n.install import Installed
from testbed import probe
from testbed.processes import ChildProcess, free_port

_OWNER: Final = {
    "email": "owner@example.com",
    "password": "Password-1",
    "firstName": "Olivia",
    "lastName": "Owner",
}
_START: Final = 240.0
"""In seconds: the first start creates the database."""


class N8n:
    """One n8n with a folder of its own; started again it keeps its workflows and credentials."""

    def __init__(self, installed: Installed, folder: Path, environment: Mapping[str, str]) -> None:
        """Describe n8n: the installation, an empty folder, and additional environment variables."""
        self._installed = installed
        self._folder = folder
        self.port = free_port()
        self._settings = {
            "HOME": str(folder),
            "N8N_USER_FOLDER": str(folder),
            "N8N_LISTEN_ADDRESS": "127.0.0.1",
            "N8N_PORT": str(self.port),
            "N8N_ENCRYPTION_KEY": "n8n-tier",
            "N8N_DIAGNOSTICS_ENABLED": "false",
            "N8N_VERSION_NOTIFICATIONS_ENABLED": "false",
            "N8N_TEMPLATES_ENABLED": "false",
            "N8N_PERSONALIZATION_ENABLED": "false",
            "N8N_SECURE_COOKIE": "false",
            "WEBHOOK_URL": f"http://127.0.0.1:{self.port}/",
        }
        self._environment = {**self._settings, **environment}
        self._process: ChildProcess | None = None
        self._cookies = http.cookiejar.CookieJar()
        handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self._cookies))
        self._opener = urllib.request.build_opener(*handlers)

    @property
    def url(self) -> str:
        """The address of the editor."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start n8n, in another environment than before if one is given, and log in as its owner."""
        if environment is not None:
            self._environment = {**self._settings, **environment}
        command = [str(self._installed.node), str(self._installed.script), "start"]
        self._process = ChildProcess(command, log=self._folder / "n8n.log", environment=self._environment)
        self._process.start()
        self._process.wait_ready(lambda: probe.is_ok(self.port, "/healthz/readiness"), timeout=_START)
        self._wait_for_the_editor()

    def stop(self) -> None:
        """End n8n."""
        if self._process is not None:
            self._process.stop(grace=30)
            self._process = None

    @contextmanager
    def worker(self, environment: Mapping[str, str]) -> Iterator[None]:
        """Run a worker of queue mode on the database of this n8n, as another pod would, with its own environment."""
        port = free_port()
        own = {
            "QUEUE_HEALTH_CHECK_ACTIVE": "true",
            "QUEUE_HEALTH_CHECK_PORT": str(port),
            "N8N_RUNNERS_BROKER_PORT": str(free_port()),
        }
        command = [str(self._installed.node), str(self._installed.script), "worker"]
        log = self._folder / "worker.log"
        process = ChildProcess(command, log=log, environment={**self._settings, **environment, **own})
        process.start()
        try:
            process.wait_ready(lambda: probe.is_ok(port, "/healthz/readiness"), timeout=_START)
            yield
        finally:
            process.stop(grace=30)

    def command(self, *arguments: str) -> str:
        """Run a command of n8n on its database while n8n is stopped, and return its output."""
        command = (str(self._installed.node), str(self._installed.script), *arguments)
        environment = {**os.environ, **self._environment}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    def credential(self, kind: str, name: str, **data: Any) -> str:
        """Create a credential as its form does, and return its id."""
        return str(self.rest("POST", "credentials", {"name": name, "type": kind, "data": data})["id"])

    def workflow(self, name: str, *nodes: Mapping[str, Any]) -> str:
        """Create a workflow of nodes in a row, publish it, and return its id."""
        placed = [{"id": str(number), "position": [number * 200, 0], **node} for number, node in enumerate(nodes)]
        pairs = pairwise(nodes)
        links = {one["name"]: {"main": [[{"node": other["name"], "type": "main", "index": 0}]]} for one, other in pairs}
        body = {"name": name, "nodes": placed, "connections": links, "settings": {"executionOrder": "v1"}}
        made = self.rest("POST", "workflows", body)
        self.rest("POST", f"workflows/{made['id']}/activate", {"versionId": made["versionId"]})
        return str(made["id"])

    def rest(self, method: str, path: str, body: object = None) -> Any:
        """Make a request as the editor does; raises AssertionError with n8n's message if it is refused."""
        status, answer = self.request(method, f"/rest/{path}", body)
        assert status < 300, f"{method} {path}: {status} {answer}"
        return answer["data"] if isinstance(answer, dict) and "data" in answer else answer

    def request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Make a request, and return its status and JSON."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, {"Content-Type": "application/json"}, method=method)
        try:
            with self._opener.open(request, timeout=60) as response:
                return response.status, _json(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _json(error.read())

    def _wait_for_the_editor(self) -> None:
        deadline = time.monotonic() + _START
        while True:
            status, _ = self.request("POST", "/rest/owner/setup", _OWNER)
            if status not in {404, 503}:
                break
            assert time.monotonic() < deadline, "n8n's editor did not come up"
            time.sleep(0.2)
        if status >= 300:
            login = {"emailOrLdapLoginId": _OWNER["email"], "password": _OWNER["password"]}
            self.rest("POST", "login", login)


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content.decode(errors="replace")
