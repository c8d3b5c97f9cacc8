"""The commands, run as a person runs them."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from pipedrive_operator import __version__
from pipedrive_operator.commands import main
from pipedrive_operator.core.values.errors import VaultDenied
from pipedrive_operator.crd import consent_definition, custom_resource_definition
from pipedrive_operator.preflight.finding import Finding, find


def run(*arguments: str) -> Result:
    """Run a command."""
    return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize("command", [(), ("run",), ("check",), ("crd",), ("version",)])
def test_every_command_has_help(command: tuple[str, ...]) -> None:
    """It is longer than one line."""
    result = run(*command, "--help")

    assert 0 == result.exit_code
    assert "Usage:" in result.output
    assert len(result.output.splitlines()) > 5


def test_the_version_is_printed_for_people_and_programs() -> None:
    """It is printed as text or as JSON."""
    assert __version__ in run("version").output
    assert __version__ == json.loads(run("version", "-o", "json").output)["version"]


def test_the_crds_are_printed_for_kubectl() -> None:
    """They are YAML documents, or a list in JSON."""
    definitions = [custom_resource_definition(), consent_definition()]

    assert definitions == list(yaml.safe_load_all(run("crd").output))
    assert definitions == json.loads(run("crd", "-o", "json").output)["items"]


@pytest.mark.parametrize("command", ["run", "check"])
def test_unusable_settings_have_their_own_exit_code(tmp_path: Path, command: str) -> None:
    """The output says what is wrong and where the settings are documented."""
    path = tmp_path / "settings.yaml"
    path.write_text("controller: {worker: 3}")

    result = run(command, "--config", str(path))

    assert 2 == result.exit_code
    assert "controller.worker: no such setting; did you mean workers?" in result.output
    assert "docs/configuration.md" in result.output


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_directory_in_place_of_the_file_is_reported_with_the_fix(tmp_path: Path, command: str) -> None:
    """The operator reports it, not the parser of the command line."""
    result = run(command, "--config", str(tmp_path))

    assert 2 == result.exit_code
    assert f"{tmp_path} is a directory: name the file in it with --config" in result.output


@pytest.mark.parametrize(
    ("finding", "unicode", "line"),
    [
        (Finding(step="CRD", ok=True, detail="current", remedy="x"), True, "✓ CRD: current"),
        (Finding(step="CRD", ok=False, detail="missing", remedy="apply it"), True, "✗ CRD: missing\n  → apply it"),
        (Finding(step="CRD", ok=False, detail="missing", remedy="apply it"), False, "FAIL CRD: missing\n  -> apply it"),
        (Finding(step="CRD", ok=False, detail="missing"), True, "✗ CRD: missing"),
    ],
)
def test_a_failed_finding_shows_its_remedy(finding: Finding, line: str, *, unicode: bool) -> None:
    """The remedy is on a line of its own."""
    assert line == finding.as_text(unicode=unicode)


def test_check_runs_every_check_and_fails_if_one_does(tmp_path: Path) -> None:
    """Nothing can be reached here, and every failure is reported."""
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


@pytest.mark.parametrize("content", [None, "not a certificate"])
def test_check_names_the_setting_of_an_unusable_ca_file(tmp_path: Path, content: str | None) -> None:
    """Whether the file is missing or contains no certificate."""
    ca_file = tmp_path / "ca.pem"
    if content is not None:
        ca_file.write_text(content)
    path = tmp_path / "settings.yaml"
    path.write_text(f"kubernetes: {{kubeconfig: /none}}\npipedrive: {{caFile: {ca_file}}}\n")

    result = run("check", "--config", str(path), "-o", "json")

    (finding,) = (one for one in json.loads(result.stdout) if one["step"] == "Pipedrive")
    assert 1 == result.exit_code
    assert f"{ca_file}: correct pipedrive.caFile" in finding["detail"]


async def test_a_finding_quotes_a_message_whole() -> None:
    """A message may quote an error that contains a colon itself."""
    message = 'Vault refuses the login ("1 error occurred: permission denied"): correct the role'

    async def fail() -> None:
        raise VaultDenied(message)

    finding = await find("Vault login", fail, "logged in")

    assert Finding(step="Vault login", ok=False, detail=message) == finding


@pytest.mark.parametrize("command", [[], ["run"], ["check"], ["crd"]])
def test_help_keeps_its_line_breaks(command: list[str]) -> None:
    """It does not show the control character that keeps them."""
    shown = CliRunner().invoke(main, [*command, "--help"]).output

    assert "\\b" not in shown


def test_the_front_needs_a_public_url() -> None:
    """Its links are built from it."""
    result = run("consent")

    assert 2 == result.exit_code
    assert "consent.publicUrl: is required" in result.output
