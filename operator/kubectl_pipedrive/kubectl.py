"""Runs kubectl, with the flags that the person gave for the cluster, the user and the namespace.

This is the only module that starts programs. No secret value is ever an argument of one.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from kubectl_pipedrive.errors import KubectlFailed, KubectlMissing
from pipedrive_operator.core.resource.names import CONSENT_PLURAL, GROUP, PLURAL

Json = Mapping[str, Any]
CREDENTIALS: Final = f"{PLURAL}.{GROUP}"
"""The full name of the resource, which no other CRD can take."""
CONSENTS: Final = f"{CONSENT_PLURAL}.{GROUP}"
_PROGRAM: Final = "kubectl"
_GET_AS_IT_IS: Final = ("--show-labels=false",)
"""A kuberc file can change what kubectl prints by default: https://kubernetes.io/docs/reference/kubectl/kuberc/"""
_TIMEOUT_SECONDS: Final = 1.0
"""After this time, what kubectl has written to its standard error is shown while it still runs."""


class Runner(Protocol):
    """Starts kubectl. Both methods raise KubectlFailed and KubectlMissing."""

    def run(self, arguments: Sequence[str], stdin: str | None) -> str:
        """Run to the end, and return the standard output."""

    def stream(self, arguments: Sequence[str]) -> Iterator[str]:
        """Yield the lines of the standard output as they come."""


class Subprocesses:
    """Runs the kubectl that is first on the PATH."""

    def run(self, arguments: Sequence[str], stdin: str | None) -> str:
        """Run to the end, and return the standard output."""
        pipe = subprocess.PIPE
        try:
            process = subprocess.Popen(
                [_PROGRAM, *arguments], stdin=None if stdin is None else pipe, stdout=pipe, stderr=pipe
            )
        except FileNotFoundError:
            raise KubectlMissing from None
        with process:
            try:
                out, error = _communicate(process, None if stdin is None else stdin.encode())
            except BaseException:
                process.kill()
                raise
        if process.returncode != 0:
            raise KubectlFailed(error.strip())
        return out

    def stream(self, arguments: Sequence[str]) -> Iterator[str]:
        """Yield the lines of the standard output as they come; kubectl ends when the caller stops reading."""
        try:
            process = subprocess.Popen(
                [_PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
            )
        except FileNotFoundError:
            raise KubectlMissing from None
        with process:
            try:
                yield from process.stdout or ()
                if process.wait() != 0:
                    raise KubectlFailed((process.stderr.read() if process.stderr else "").strip())
            finally:
                process.terminate()


def _communicate(process: subprocess.Popen[bytes], given: bytes | None) -> tuple[str, str]:
    """Return what a program writes, except for what it shows while it waits, such as the code of a login plugin.

    An error of kubectl is not shown here, because kubectl ends right after it.
    """
    shown, earlier = 0, b""
    while True:
        try:
            out, error = process.communicate(given, timeout=_TIMEOUT_SECONDS)
            return out.decode(errors="replace"), (error[shown:].strip() or error).decode(errors="replace")
        except subprocess.TimeoutExpired as waiting:
            given = None
            sys.stderr.write(earlier[shown:].decode(errors="replace"))
            sys.stderr.flush()
            shown, earlier = len(earlier), bytes(waiting.stderr or b"")


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl with its flags for the cluster, the user and the namespace."""

    runner: Runner
    flags: tuple[str, ...] = ()
    """Flags that select the cluster and the user, such as `--context=production`."""
    namespace: str | None = None
    """The namespace that was asked for; None means that of the context."""

    def within(self, namespace: str) -> "Kubectl":
        """Return a kubectl for another namespace."""
        return replace(self, namespace=namespace)

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Run a command, and return its standard output. Raises KubectlFailed and KubectlMissing."""
        return self.runner.run(self._complete(arguments), stdin)

    def get(self, *arguments: str, stdin: str | None = None) -> Json:
        """Run a command that prints one JSON object. Raises KubectlFailed and KubectlMissing."""
        found = json.loads(self.run(*arguments, "--output=json", stdin=stdin))
        return found if isinstance(found, Mapping) else {}

    def items(self, *arguments: str) -> list[Json]:
        """Run a `get`, and return its objects, whether it printed one or a list. Raises as `get` does."""
        found = self.get("get", *arguments)
        return list(found["items"]) if "items" in found else [found]

    def watch(self, *arguments: str) -> Iterator[tuple[str, Json]]:
        """Yield the type and object of each watch event until kubectl ends. Raises as `get` does."""
        options = ("--watch", "--output-watch-events", "--output=json")
        for line in self.runner.stream(self._complete(("get", *arguments, *options))):
            event = json.loads(line)
            yield str(event["type"]), event["object"]

    def current_namespace(self) -> str:
        """Return the namespace that kubectl works in, without asking the cluster."""
        if self.namespace is not None:
            return self.namespace
        path = "--output=jsonpath={.contexts[0].context.namespace}"
        with suppress(KubectlFailed):  # without a kubeconfig, kubectl works in the namespace default
            return self.run("config", "view", "--minify", path) or "default"
        return "default"

    def _complete(self, arguments: Sequence[str]) -> list[str]:
        namespace = [] if self.namespace is None else [f"--namespace={self.namespace}"]
        own = _GET_AS_IT_IS if arguments[0] == "get" else ()
        return [*arguments, *own, *namespace, *self.flags]
