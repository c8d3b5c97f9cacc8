"""Loading the settings: file and environment, and the message for each mistake in them."""

from datetime import timedelta
from pathlib import Path

import pytest

from pipedrive_operator.config.errors import SettingsError
from pipedrive_operator.config.loading import load_settings
from pipedrive_operator.config.vault import VaultAuthMethod

VALID = """
vault:
  connections:
    default:
      address: https://vault.example.com:8200
      auth: {method: token, tokenFile: /run/token}
pipedrive:
  apps:
    crm-sync: {path: apps/crm-sync, allowedNamespaces: [crm]}
controller: {pollInterval: 1m30s}
"""


def settings_file(folder: Path, text: str) -> Path:
    """Write a settings file."""
    path = folder / "settings.yaml"
    path.write_text(text)
    return path


def vault(settings: str) -> str:
    """Return a settings file with one Vault connection."""
    return f"vault: {{connections: {{x: {{address: 'https://v', {settings}}}}}}}"


def error_for(folder: Path, text: str) -> str:
    """Return the message about a settings file."""
    with pytest.raises(SettingsError) as caught:
        load_settings(settings_file(folder, text))
    return str(caught.value)


def test_settings_come_from_the_file_and_defaults_fill_the_rest(tmp_path: Path) -> None:
    """The names are those of the chart's `config` value."""
    settings = load_settings(settings_file(tmp_path, VALID))

    connection = settings.vault.connections["default"]
    assert VaultAuthMethod.TOKEN is connection.auth.method
    assert ("secret",) == connection.mounts
    assert ("crm",) == settings.pipedrive.apps["crm-sync"].allowed_namespaces
    assert timedelta(seconds=90) == settings.controller.poll_interval
    assert timedelta(hours=1) == settings.controller.verify_interval


def test_the_environment_takes_precedence_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This holds within the entries of a map too, such as a Vault connection."""
    monkeypatch.setenv("PIPEDRIVE_OPERATOR_CONTROLLER__POLL_INTERVAL", "7s")
    monkeypatch.setenv("PIPEDRIVE_OPERATOR_VAULT__CONNECTIONS__DEFAULT__PATH_PREFIXES", '["a/", "b/"]')
    monkeypatch.setenv("PIPEDRIVE_OPERATOR_KUBERNETES__NAMESPACES", '["crm"]')

    settings = load_settings(settings_file(tmp_path, VALID))

    assert timedelta(seconds=7) == settings.controller.poll_interval
    assert ("a/", "b/") == settings.vault.connections["default"].path_prefixes
    assert ("crm",) == settings.kubernetes.namespaces
    assert "/run/token" == str(settings.vault.connections["default"].auth.token_file)


def test_no_file_is_needed() -> None:
    """Every setting has a default, except those of the connections and apps that a person names."""
    assert {} == load_settings(None).vault.connections


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("controller: {pollIntervall: 1m}", "controller.pollIntervall: no such setting; did you mean pollInterval?"),
        (vault("adress: https://v"), "vault.connections.x.adress: no such setting; did you mean address?"),
        (vault("auth: {method: token}"), "the method token needs tokenFile or tokenSecretRef"),
        (vault("pathPrefixes: ['{cluster}/']"), "kubernetes.clusterName must be set"),
        ("vault: {connections: {x: {address: 'https://me:hush@v'}}}", "remove the user, password, query or fragment"),
        (vault("caFile: /a, caSecretRef: {name: a, key: b}"), "caFile and caSecretRef are both set"),
        (vault("clientKeyFile: /a"), "clientCertificateFile and clientKeyFile belong together"),
        (vault("auth: {method: approle, secretIdFile: /a}"), "the method approle needs roleId"),
        (vault("auth: {method: cert}"), "the method cert needs clientCertificateFile or clientCertificateSecretRef"),
        (vault("auth: {method: jwt}"), "the method jwt needs jwtFile or jwtSecretRef"),
        ("pipedrive: {timeout: 60s}", "leaderElection.leaseDuration (30s) must be at least twice pipedrive.timeout"),
    ],
)
def test_the_message_names_the_setting(tmp_path: Path, text: str, expected: str) -> None:
    """It suggests the closest valid name, and names both of two settings that contradict each other."""
    assert expected in error_for(tmp_path, text)


@pytest.mark.parametrize(
    ("lease", "timeout", "fix"),
    [
        ("15s", "10s", "set leaderElection.leaseDuration to 20s or more, or pipedrive.timeout to 7s or less"),
        ("29s", "15s", "set leaderElection.leaseDuration to 30s or more, or pipedrive.timeout to 14s or less"),
        ("3m", "2m", "set leaderElection.leaseDuration to 4m or more, or pipedrive.timeout to 1m30s or less"),
    ],
)
def test_a_lease_that_leaves_too_little_time_to_refresh_is_refused(
    tmp_path: Path, lease: str, timeout: str, fix: str
) -> None:
    """The message says which values of the two settings would be accepted."""
    text = f"{{leaderElection: {{leaseDuration: {lease}}}, pipedrive: {{timeout: {timeout}}}}}"

    assert error_for(tmp_path, text).endswith(fix)


@pytest.mark.parametrize(
    ("lease", "timeout"), [("leaseDuration: 15s", "7s"), ("leaseDuration: 30s", "15s"), ("enabled: false", "2m")]
)
def test_a_lease_of_twice_the_time_out_is_accepted(tmp_path: Path, lease: str, timeout: str) -> None:
    """Without leader election there is no Lease, and any time-out will do."""
    text = f"{{leaderElection: {{{lease}}}, pipedrive: {{timeout: {timeout}}}}}"

    assert load_settings(settings_file(tmp_path, text)).pipedrive.timeout


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    """A person does not have to start the operator once for each."""
    assert 2 == len(error_for(tmp_path, "controller: {workers: 0}\nlog: {level: loud}").splitlines())


@pytest.mark.parametrize("name", ["NONSENSE__X", "CONTROLER__WORKERS", "PORTS"])
def test_an_unknown_variable_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A misspelt variable must not be ignored silently."""
    monkeypatch.setenv(f"PIPEDRIVE_OPERATOR_{name}", "1")

    with pytest.raises(SettingsError, match=f"PIPEDRIVE_OPERATOR_{name}"):
        load_settings(None)


@pytest.mark.parametrize("value", ["1", "1.5", "PT5M", "5 minutes", "true"])
def test_a_duration_without_a_unit_is_refused(tmp_path: Path, value: str) -> None:
    """A bare number could mean seconds or minutes."""
    message = error_for(tmp_path, f"controller: {{pollInterval: {value}}}")

    assert "controller.pollInterval: is not a duration such as 90s, 20m or 1h30m" in message


@pytest.mark.parametrize("name", ["PORT", "SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT_8080_TCP_ADDR"])
def test_variables_that_the_kubelet_sets_for_a_service_are_ignored(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A Service with the operator's name must not keep the operator from starting."""
    monkeypatch.setenv(f"PIPEDRIVE_OPERATOR_{name}", "tcp://10.0.0.1:8080")

    assert load_settings(None)


def test_a_missing_file_is_reported_with_the_fix(tmp_path: Path) -> None:
    """It is not treated as an empty one."""
    with pytest.raises(SettingsError, match=r"nope\.yaml does not exist: name another file with --config"):
        load_settings(tmp_path / "nope.yaml")
