"""`migrate n8n` prints a script that moves the values without ever containing one."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.plugin_world import PluginWorld, private_copy

REFRESH_TOKEN = "made-up-refresh-token"


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Copy the export of n8n."""
    path = tmp_path / "export.json"
    private_copy(path)
    return path


def entry(**changes: Any) -> dict[str, Any]:
    """Build an API token of n8n."""
    return {"id": "1", "name": "Acme", "type": "pipedriveApi", "data": {"apiToken": "made-up"}, **changes}


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Replace vault and kubectl by programs that record their arguments and input."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("vault", "kubectl"):
        (folder / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/calls\ncat >> {tmp_path}/{name}\n')
        (folder / name).chmod(0o755)
    (folder / "jq").write_text(_JQ)
    (folder / "jq").chmod(0o755)
    return folder


_JQ = """\
#!/usr/bin/env python3
# Does what jq does with the one filter of the script: pick by id, then build an object from paths.
import json, re, sys

flag, name, wanted, filter, file = sys.argv[1:]
assert (flag, name) == ("--arg", "id")
assert filter.startswith('(if type == "array" then .[] else . end) | select((.id | tostring) == $id) | .data | {')
found = json.load(open(file))
for one in found if isinstance(found, list) else [found]:
    if str(one["id"]) == wanted:
        result = {}
        for key, path in re.findall(r"(\\w+): \\.([\\w.]+)", filter.rpartition("{")[2]):
            value = one["data"]
            for part in path.split("."):
                value = value[part]
            result[key] = value
        print(json.dumps(result))
"""


def execute(script: str, programs: Path) -> None:
    """Run a script with the replaced programs."""
    path = f"{programs}:{os.defpath}:/usr/local/bin"
    subprocess.run(("bash", "-c", script), cwd=programs.parent, env={"PATH": path}, check=True, capture_output=True)


def test_the_script_contains_no_value(export: Path) -> None:
    """No value is in a command or a manifest."""
    typed = PluginWorld()(f"migrate n8n {export}")

    assert 0 == typed.code
    assert "made-up" not in typed.out + typed.err
    assert "left out: credentials of other types (1)" in typed.err


def test_the_script_moves_every_value(export: Path, programs: Path, tmp_path: Path) -> None:
    """Values reach Vault through its standard input, and manifests reach kubectl."""
    script = PluginWorld()(f"migrate n8n {export}").out

    execute(script, programs)

    assert [
        {"api_token": "made-up-api-token-0123456789"},
        {"refresh_token": REFRESH_TOKEN},
        {"client_id": "made-up-client-id", "client_secret": "made-up-client-secret"},
    ] == [json.loads(line) for line in (tmp_path / "vault").read_text().splitlines()]
    calls = (tmp_path / "calls").read_text()
    assert "made-up" not in calls
    assert "vault kv put -mount=secret -cas=0 pipedrive/crm/pipedrive-globex-oauth2-client -" in calls
    manifests = (tmp_path / "kubectl").read_text()
    assert 2 == manifests.count("kind: PipedriveCredential")
    assert "companyDomain: globex" in manifests


def test_an_app_of_the_settings_replaces_the_clients(export: Path) -> None:
    """Then the client's secret is not moved."""
    out = PluginWorld()(f"migrate n8n {export} --app crm-sync --id Zr8wM5nC2x").out

    assert "app: crm-sync" in out
    assert "client_secret" not in out
    assert "pipedriveApi" not in out


def test_cluster_flags_reach_the_script(export: Path) -> None:
    """It must write to the cluster that was meant."""
    out = PluginWorld()(f"migrate n8n {export} --context prod -n sales").out

    assert "kubectl apply --context=prod --filename=- <<" in out
    assert "pipedrive/sales/pipedrive-acme" in out


def test_names_and_ids_of_n8n_cannot_become_commands(tmp_path: Path, programs: Path) -> None:
    """They are free text."""
    path = tmp_path / "export.json"
    hostile = entry(name="a\n$(touch pwned)\x1b[31m'; END\nEND", id="1; touch pwned; #")
    path.write_text(json.dumps([hostile, entry(id="2", name="日本"), entry(id="3", name="日本")]))

    out = PluginWorld()(f"migrate n8n {path}").out

    execute(out, programs)
    assert not (tmp_path / "pwned").exists()
    assert "\x1b" not in out
    assert not [line for line in out.splitlines() if line.startswith(("$(touch", "END'"))]
    assert ["name: a-touch-pwned-31m-end-end", "name: pipedrive", "name: pipedrive-2"] == [
        line.strip() for line in out.splitlines() if line.startswith("  name: ")
    ]


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (entry(data={}), "it has no API token"),
        (entry(type="pipedriveOAuth2Api", data={"clientId": "x"}), "it has no refresh token"),
        (
            entry(type="pipedriveOAuth2Api", data={"oauthTokenData": {"refresh_token": "x"}}),
            "it has no client id and secret",
        ),
    ],
)
def test_a_credential_without_its_value_is_left_out(tmp_path: Path, found: dict[str, Any], message: str) -> None:
    """The reason is printed."""
    path = tmp_path / "export.json"
    path.write_text(json.dumps(found | {"name": "Acme\n\x1b[31m"}))
    path.chmod(0o600)

    typed = PluginWorld()(f"migrate n8n {path}")

    assert (1, "") == (typed.code, typed.out)
    assert f"left out: Acme  [31m (id 1): {message}" in typed.err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no json", "the file is not JSON: write it with `n8n export:credentials --all --decrypted"),
        ("", "the file is empty: write it with `n8n export:credentials --all --decrypted"),
        ("[]", "the file has no Pipedrive credential"),
        ("[1]", "the file has no Pipedrive credential"),
        (json.dumps([entry(type="slackApi")]), "the file has no Pipedrive credential"),
        (json.dumps([entry(data="U2FsdGVkX1...")]), "export again with `--decrypted`"),
        (None, "cannot be read: No such file or directory; name the file that `n8n export:credentials"),
    ],
)
def test_an_unusable_file_is_explained(tmp_path: Path, content: str | None, message: str) -> None:
    """The exit code is 2."""
    path = tmp_path / "export.json"
    if content is not None:
        path.write_text(content)

    typed = PluginWorld()(f"migrate n8n {path}")

    assert (2, "") == (typed.code, typed.out)
    assert message in typed.err


def test_an_unknown_id_is_an_error(export: Path) -> None:
    """An empty script would hide the mistake."""
    assert "no Pipedrive credential with the id 9" in PluginWorld()(f"migrate n8n {export} --id 9").err


def test_a_file_that_others_can_read_is_pointed_out(export: Path) -> None:
    """It contains secret values."""
    assert "chmod 600" not in PluginWorld()(f"migrate n8n {export}").err
    export.chmod(0o640)

    assert f"others can read it: chmod 600 {export}" in PluginWorld()(f"migrate n8n {export}").err
