"""Reads what `n8n export:credentials --decrypted` wrote, and writes the commands that move it. Pure.

No secret value is kept: what matters here is whether there is one. The commands read the values from the file.
"""

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from kubectl_pipedrive import manifests
from kubectl_pipedrive.credential import Json, map_at, text_at
from kubectl_pipedrive.errors import UsageError
from kubectl_pipedrive.manifests import Outline
from pipedrive_operator.core.values.text import shorten, without_control_characters

_API_TOKEN: Final = "pipedriveApi"
_OAUTH2: Final = "pipedriveOAuth2Api"
EXPORT_COMMAND: Final = "`n8n export:credentials --all --decrypted --output=FILE`"
_EXPORT: Final = f"write it with {EXPORT_COMMAND}"
_LONGEST_NAME: Final = 50
_API_DOMAIN: Final = re.compile(r"https://([a-z0-9-]+)\.pipedrive\.com/?")
_PICK: Final = """\
data_of() {{ # the data of the credential with an id, reshaped; the file has one credential or many
  jq --arg id "$1" '(if type == "array" then .[] else . end) | select((.id | tostring) == $id) | .data | '"$2" {file}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A Pipedrive credential of n8n, without its values."""

    id: str
    label: str
    """Its name in n8n, on one line."""
    name: str
    """The name of the credential that replaces it."""
    is_oauth2: bool
    company: str | None
    problem: str | None = None
    """Why it cannot be moved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where the credentials go."""

    file: str
    namespace: str
    mount: str
    prefix: str
    app: str | None
    kubectl_flags: Sequence[str]


def read(text: str) -> tuple[list[Exported], int]:
    """Return the Pipedrive credentials of an export, and how many others it contains. Raises UsageError."""
    try:
        found = json.loads(text)
    except ValueError:
        what = "is not JSON" if text.strip() else "is empty"
        message = f"the file {what}: {_EXPORT}"
        raise UsageError(message) from None
    entries = [one for one in (found if isinstance(found, list) else [found]) if isinstance(one, dict)]
    ours = [one for one in entries if one.get("type") in {_API_TOKEN, _OAUTH2}]
    if not ours:
        message = f"the file has no Pipedrive credential (type {_API_TOKEN} or {_OAUTH2}): {_EXPORT}"
        raise UsageError(message)
    if any(isinstance(one.get("data"), str) for one in ours):
        raise UsageError("the values in the file are encrypted: export again with `--decrypted`")
    return list(_with_different_names(_exported(one) for one in ours)), len(entries) - len(ours)


def script(moved: Sequence[Exported], destination: Destination) -> str:
    """Return a shell script that writes the values to Vault and applies the manifests."""
    return "\n".join((_head(moved, destination), *(_move(one, destination) for one in moved)))


def _exported(body: Json) -> Exported:
    data, is_oauth2 = map_at(body, "data"), body.get("type") == _OAUTH2
    label = shorten(without_control_characters(str(body.get("name", ""))), _LONGEST_NAME)
    company = _API_DOMAIN.fullmatch(text_at(data, "oauthTokenData", "api_domain"))
    return Exported(
        id=str(body.get("id", "")),
        label=label,
        name=re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-") or "pipedrive",
        is_oauth2=is_oauth2,
        company=company.group(1) if company else None,
        problem=_problem(data, is_oauth2=is_oauth2),
    )


def _problem(data: Json, *, is_oauth2: bool) -> str | None:
    if not is_oauth2:
        return None if text_at(data, "apiToken") else "it has no API token"
    if not text_at(data, "oauthTokenData", "refresh_token"):
        return "it has no refresh token: it was never connected, or it gets its tokens from the token endpoint"
    return None if text_at(data, "clientId") and text_at(data, "clientSecret") else "it has no client id and secret"


def _with_different_names(found: Iterable[Exported]) -> Iterator[Exported]:
    taken: set[str] = set()
    for one in found:
        name, number = one.name, 2
        while name in taken:
            name, number = f"{one.name}-{number}", number + 1
        taken.add(name)
        yield replace(one, name=name)


def _head(moved: Sequence[Exported], destination: Destination) -> str:
    file = shlex.quote(destination.file)
    return f"""\
#!/usr/bin/env bash
# Moves {len(moved)} Pipedrive credentials from n8n to the operator. Read it before you run it.
# It contains no secret value: jq reads the values from {_comment(destination.file)}, and Vault reads them from a pipe.
# Before: stop n8n. Only one program may use a refresh token, and from now on that is the operator.
# After: docs/n8n.md says how n8n gets its tokens from the operator. Then delete the file: shred -u {_comment(file)}
set -euo pipefail
for program in jq vault kubectl; do command -v "$program" >/dev/null || {{ echo "install $program" >&2; exit 1; }}; done
{_PICK.format(file=file)}"""


def _move(one: Exported, destination: Destination) -> str:
    path = f"{destination.prefix}/{one.name}"
    kind = "OAuth2" if one.is_oauth2 else "API token"
    client_path = f"{path}-client" if one.is_oauth2 and destination.app is None else None
    outline = Outline(
        name=one.name,
        namespace=destination.namespace,
        path=path,
        app=destination.app,
        client_path=client_path,
        company=one.company,
        secret=None,
    )
    lines = [f"# {json.dumps(one.label, ensure_ascii=False)} (id {_comment(one.id)}, {kind})"]
    if one.is_oauth2:
        lines.append(_put("{refresh_token: .oauthTokenData.refresh_token}", path, one, destination))
        if client_path is not None:
            fields = "{client_id: .clientId, client_secret: .clientSecret}"
            lines.append(_put(fields, client_path, one, destination))
    else:
        lines.append(_put("{api_token: .apiToken}", path, one, destination))
    manifest = manifests.oauth2(outline) if one.is_oauth2 else manifests.api_token(outline)
    apply = shlex.join(("kubectl", "apply", *destination.kubectl_flags, "--filename=-"))
    return "\n".join((*lines, f"{apply} <<'END'", f"{manifest}END", ""))


def _put(fields: str, path: str, one: Exported, destination: Destination) -> str:
    """Return a pipe into Vault, which refuses to overwrite what is at the path already (`-cas=0`)."""
    data = shlex.join(("data_of", one.id, fields))
    return f"{data} |\n  vault kv put -mount={shlex.quote(destination.mount)} -cas=0 {shlex.quote(path)} -"


def _comment(text: str) -> str:
    return without_control_characters(text)
