"""The commands, as a person meets them."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from pipedrive_operator import __version__
from pipedrive_operator.commands import main
from pipedrive_operator.crd import crd
from pipedrive_operator.preflight import Finding, told


def run(*arguments: str) -> Result:
    """Run a command."""
    return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize("command", [(), ("run",), ("check",), ("crd",), ("version",)])
def test_help_teaches(command: tuple[str, ...]) -> None:
    """Every command has it."""
    result = run(*command, "--help")

    assert 0 == result.exit_code
    assert "Usage:" in result.output
    assert len(result.output.splitlines()) > 5


def test_the_version_is_told_to_people_and_machines() -> None:
    """The same one."""
    assert __version__ in run("version").output
    assert __version__ == json.loads(run("version", "-o", "json").output)["version"]


def test_the_crd_is_printed_for_kubectl() -> None:
    """As YAML, or as JSON."""
    assert crd() == yaml.safe_load(run("crd").output)
    assert crd() == json.loads(run("crd", "-o", "json").output)


@pytest.mark.parametrize("command", ["run", "check"])
def test_unusable_settings_end_with_their_own_code(tmp_path: Path, command: str) -> None:
    """And with what is wrong, and where to read on."""
    path = tmp_path / "settings.yaml"
    path.write_text("controller: {worker: 3}")

    result = run(command, "--config", str(path))

    assert 2 == result.exit_code
    assert "controller.worker: no such setting; did you mean workers?" in result.output
    assert "docs/configuration.md" in result.output


@pytest.mark.parametrize(
    ("finding", "unicode", "line"),
    [
        (Finding(step="CRD", ok=True, detail="current", remedy="x"), True, "✓ CRD: current"),
        (Finding(step="CRD", ok=False, detail="absent", remedy="apply it"), True, "✗ CRD: absent\n  → apply it"),
        (Finding(step="CRD", ok=False, detail="absent", remedy="apply it"), False, "FAIL CRD: absent\n  -> apply it"),
        (Finding(step="CRD", ok=False, detail="absent"), True, "✗ CRD: absent"),
    ],
)
def test_a_finding_is_a_line_and_what_to_do(finding: Finding, line: str, *, unicode: bool) -> None:
    """What is well needs no remedy."""
    assert line == told(finding, unicode=unicode)


def test_check_asks_everything_and_fails_if_anything_is_missing(tmp_path: Path) -> None:
    """Nothing can be reached here, and all of it is told."""
    path = tmp_path / "settings.yaml"
    path.write_text(
        "kubernetes: {kubeconfig: /none}\npipedrive: {apiUrl: 'http://127.0.0.1:1', timeout: 2s}\n"
        "vault: {connections: {default: {address: 'http://127.0.0.1:1', auth: {method: token, tokenFile: /none}}}}\n"
    )

    result = run("check", "--config", str(path), "-o", "json")

    assert 1 == result.exit_code
    findings = json.loads(result.stdout)
    assert {"API server", "Vault default", "Vault default login", "Pipedrive"} == {one["step"] for one in findings}
    assert not any(one["ok"] for one in findings)
    assert all(one["remedy"] for one in findings)


@pytest.mark.parametrize("command", [[], ["run"], ["check"], ["crd"]])
def test_help_keeps_its_lines(command: list[str]) -> None:
    """What stands on lines of its own stays there, and the mark that asks for it is not shown."""
    shown = CliRunner().invoke(main, [*command, "--help"]).output

    assert "\\b" not in shown
