"""A kubectl that answers from objects in memory, as the real one does: the same JSON, the same words for its errors.

The integration tests of the plugin run the same commands with the real kubectl.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubectl_pipedrive.errors import KubectlFailed
from kubectl_pipedrive.kubectl import CONSENTS, CREDENTIALS

Json = dict[str, Any]


@dataclass(kw_only=True)
class FakeKubectl:
    """Answers the commands that the plugin uses."""

    objects: dict[str, list[Json]] = field(default_factory=dict)
    """The objects of each resource, such as `pods`."""
    denied: set[str] = field(default_factory=set)
    """The resources that the user may not read or change."""
    served: dict[str, list[str]] = field(
        default_factory=lambda: {
            "/apis/pipedrive-operator.io/v1alpha1": [
                "pipedrivecredentials",
                "pipedrivecredentials/status",
                "pipedriveconsents",
            ]
        }
    )
    """The resources of each group and version, as discovery lists them."""
    namespaces: set[str] = field(default_factory=lambda: {"crm"})
    namespace: str = "crm"
    """The namespace of the context."""
    unknown_flags: set[str] = field(default_factory=set)
    """Flags that this version of kubectl does not have."""
    broken: str | None = None
    """The error of every command."""
    on_change: Callable[[Json], None] = lambda _: None
    """Called with an object that was created, annotated or patched, as the operator's watch is."""
    events: list[tuple[str, Json]] = field(default_factory=list)
    """What a watch delivers. After that, it ends with Ctrl-C."""
    calls: list[list[str]] = field(default_factory=list)
    inputs: list[str | None] = field(default_factory=list)

    def run(self, arguments: Sequence[str], stdin: str | None) -> str:
        """Answer a command. Raises KubectlFailed."""
        self.calls.append(list(arguments))
        self.inputs.append(stdin)
        if self.broken is not None:
            raise KubectlFailed(self.broken)
        words = [text for text in arguments if not text.startswith("-")]
        flags = dict(text.lstrip("-").partition("=")[::2] for text in arguments if text.startswith("-"))
        self._require_known(flags)
        match words:
            case ["get"]:
                answer = self._raw(flags["raw"])
            case ["config", *_]:
                answer = self.namespace
            case ["get", "namespace", name]:
                answer = self._get_namespace(name)
            case ["get", resource, *names]:
                answer = self._get(resource, names, flags)
            case ["annotate", resource, *rest]:
                answer = self._annotate(resource, rest, flags)
            case ["patch", resource, name]:
                answer = self._patch(resource, name, flags, flags.get("patch") or stdin or "")
            case ["create"]:
                answer = self._create(json.loads(stdin or "{}"))
            case ["delete", resource, name]:
                answer = self._delete(resource, name)
            case _:
                message = f"error: unknown command {arguments}"
                raise KubectlFailed(message)
        return answer

    def _require_known(self, flags: dict[str, str]) -> None:
        for flag in self.unknown_flags & set(flags):
            message = f"error: unknown flag: --{flag}\nSee 'kubectl delete --help' for usage."
            raise KubectlFailed(message)

    def stream(self, arguments: Sequence[str]) -> Iterator[str]:
        """Deliver the events, and then Ctrl-C."""
        self.calls.append(list(arguments))
        for kind, body in self.events:
            yield json.dumps({"type": kind, "object": body}) + "\n"
        raise KeyboardInterrupt

    def _get_namespace(self, name: str) -> str:
        self._require("namespaces", name, "get")
        if name not in self.namespaces:
            message = f'Error from server (NotFound): namespaces "{name}" not found'
            raise KubectlFailed(message)
        return f"namespace/{name}\n"

    def _get(self, resource: str, names: list[str], flags: dict[str, str]) -> str:
        self._require(resource, names[0] if names else "", "get" if names else "list")
        namespace = flags.get("namespace", self.namespace)
        found = [
            one
            for one in self.objects.get(resource, [])
            if "all-namespaces" in flags or one["metadata"].get("namespace", namespace) == namespace
        ]
        if names:
            found = [self._named(resource, name, found) for name in names]
        found = [one for one in found if _matches(one, flags.get("selector"))]
        found = [one for one in found if _is_about(one, flags.get("field-selector"))]
        if flags.get("output", "").startswith("go-template"):
            return "".join(f"{key}\n" for key in found[0]["data"])
        if flags.get("output") == "name":
            return "".join(f"{resource}/{one['metadata']['name']}\n" for one in found)
        if flags.get("output") == "yaml":
            return "apiVersion: v1\nitems: []\n"
        if len(names) == 1:
            return json.dumps(found[0], indent=4)
        return json.dumps({"apiVersion": "v1", "kind": "List", "items": found}, indent=4)

    def _named(self, resource: str, name: str, found: list[Json]) -> Json:
        for one in found:
            if one["metadata"]["name"] == name:
                return one
        plural = resource if resource.endswith("s") or "." in resource else f"{resource}s"
        message = f'Error from server (NotFound): {plural} "{name}" not found'
        raise KubectlFailed(message)

    def _annotate(self, resource: str, rest: list[str], flags: dict[str, str]) -> str:
        names = [text for text in rest if "/" not in text]
        self._require(resource, names[0], "patch")
        for name in names:
            one = self._find(resource, name, flags)
            annotations = one["metadata"].setdefault("annotations", {})
            for text in rest[len(names) :]:
                key, equals, value = text.partition("=")
                if equals:
                    annotations[key] = value
                else:
                    annotations.pop(key.removesuffix("-"), None)
            self.on_change(one)
        return ""

    def _patch(self, resource: str, name: str, flags: dict[str, str], patch: str) -> str:
        self._require(resource, name, "patch")
        one = self._find(resource, name, flags)
        for key, value in json.loads(patch)["spec"].items():
            one["spec"][key] = value
            if value is None:
                del one["spec"][key]
        one["metadata"]["generation"] += 1 if resource == CONSENTS else 0
        self.on_change(one)
        return ""

    def _create(self, body: Json) -> str:
        if body["kind"] == "SelfSubjectRulesReview":
            return self._review(body)
        self._require(CONSENTS, body["metadata"]["name"], "create")
        body["metadata"]["generation"] = 1
        self.objects.setdefault(CONSENTS, []).append(body)
        self.on_change(body)
        return ""

    def _delete(self, resource: str, name: str) -> str:
        self._require(resource, name, "delete")
        found = self.objects.get(resource, [])
        self.objects[resource] = [one for one in found if one["metadata"]["name"] != name]
        return ""

    def _find(self, resource: str, name: str, flags: dict[str, str]) -> Json:
        namespace = flags.get("namespace", self.namespace)
        here = [one for one in self.objects[resource] if one["metadata"]["namespace"] == namespace]
        return self._named(resource, name, here)

    def _review(self, review: Json) -> str:
        """Return the rules of the user: everything that is not denied."""
        ours = "pipedrive-operator.io"
        resources = {CREDENTIALS: ours, CONSENTS: ours, "pods": "", "events": "", "secret": ""}
        rules = [
            {"verbs": [verb], "apiGroups": [group], "resources": [resource.partition(".")[0].replace("ret", "rets")]}
            for resource, group in resources.items()
            for verb in ("get", "list", "create", "patch")
            if not {resource, f"{verb} {resource}"} & self.denied
        ]
        return json.dumps({**review, "status": {"resourceRules": rules, "incomplete": False}})

    def _raw(self, path: str) -> str:
        if path not in self.served:
            message = "Error from server (NotFound): the server could not find the requested resource"
            raise KubectlFailed(message)
        return json.dumps({"kind": "APIResourceList", "resources": [{"name": name} for name in self.served[path]]})

    def _require(self, resource: str, name: str, verb: str) -> None:
        if resource in self.denied or f"{verb} {resource}" in self.denied:
            about = f' "{name}"' if name else ""
            plain, _, group = resource.partition(".")
            message = (
                f'Error from server (Forbidden): {resource}{about} is forbidden: User "jane" cannot {verb} resource '
                f'"{plain}" in API group "{group}" in the namespace "{self.namespace}"'
            )
            raise KubectlFailed(message)


def _matches(body: Json, selector: str | None) -> bool:
    if selector is None:
        return True
    key, _, values = selector.replace(" in (", "=").rstrip(")").partition("=")
    return body["metadata"].get("labels", {}).get(key) in values.split(", ")


def _is_about(body: Json, selector: str | None) -> bool:
    if selector is None or "involvedObject" not in body:
        return True
    wanted = dict(part.removeprefix("involvedObject.").split("=") for part in selector.split(","))
    return all(body["involvedObject"].get(key) == value for key, value in wanted.items())


def credentials_of(fake: FakeKubectl) -> list[Json]:
    """Return the credentials of a fake."""
    return fake.objects[CREDENTIALS]
