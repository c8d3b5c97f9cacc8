"""The settings: where they come from, and what a mistake in them is told."""

from datetime import timedelta
from pathlib import Path

import pytest

from pipedrive_operator.config.settings import SettingsError, load_settings
from pipedrive_operator.config.vault import VaultAuthMethod

GOOD = """
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


def written(folder: Path, text: str) -> Path:
    """Write a settings file."""
    path = folder / "settings.yaml"
    path.write_text(text)
    return path


def test_a_file_is_read_and_the_rest_has_defaults(tmp_path: Path) -> None:
    """The names are those of the chart."""
    settings = load_settings(written(tmp_path, GOOD))

    connection = settings.vault.connections["default"]
    assert VaultAuthMethod.TOKEN is connection.auth.method
    assert ("secret",) == connection.mounts
    assert ("crm",) == settings.pipedrive.apps["crm-sync"].allowed_namespaces
    assert timedelta(seconds=90) == settings.controller.poll_interval
    assert timedelta(hours=1) == settings.controller.verify_interval


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nested, in entries of dictionaries too."""
    monkeypatch.setenv("PIPEDRIVE_OPERATOR_CONTROLLER__POLL_INTERVAL", "7s")
    monkeypatch.setenv("PIPEDRIVE_OPERATOR_VAULT__CONNECTIONS__DEFAULT__PATH_PREFIXES", '["a/", "b/"]')
    monkeypatch.setenv("PIPEDRIVE_OPERATOR_KUBERNETES__NAMESPACES", '["crm"]')

    settings = load_settings(written(tmp_path, GOOD))

    assert timedelta(seconds=7) == settings.controller.poll_interval
    assert ("a/", "b/") == settings.vault.connections["default"].path_prefixes
    assert ("crm",) == settings.kubernetes.namespaces
    assert "/run/token" == str(settings.vault.connections["default"].auth.token_file)


def test_settings_need_no_file() -> None:
    """Everything has a default, but for what a person must name."""
    assert {} == load_settings(None).vault.connections


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("controller: {pollIntervall: 1m}", "controller.pollIntervall: no such setting; did you mean pollInterval?"),
        ("vault: {connections: {x: {adress: https://v}}}", "vault.connections.x.adress: no such setting; did you mean"),
        ("vault: {connections: {x: {auth: {}}}}", "vault.connections.x.address: Field required"),
        ("controller: {workers: 0}", "controller.workers: Input should be greater than or equal to 1"),
        ("controller: {pollInterval: 0s}", "controller.pollInterval: "),
        ("controller: {pollInterval: soon}", "controller.pollInterval: "),
        ("log: {level: loud}", "log.level: "),
        ("nonsense: 1", "nonsense: no such setting"),
        (
            "vault: {connections: {x: {address: 'https://v', auth: {method: token}}}}",
            "tokenFile or tokenSecretRef is needed",
        ),
        ("vault: {connections: {x: {address: 'https://v', pathPrefixes: [a]}}}", "vault.connections.x.pathPrefixes.0"),
        ("vault: {connections: {x: {address: 'https://v', pathPrefixes: ['{team}/']}}}", "pathPrefixes.0"),
        ("vault: {connections: {x: {address: 'https://v', pathPrefixes: ['{cluster}/']}}}", "kubernetes.clusterName"),
        ("vault: {connections: {x: {address: 'https://v', mounts: [a/../b]}}}", "vault.connections.x.mounts.0"),
        ("vault: {connections: {x: {address: 'https://me:hush@v'}}}", "no user, password or query"),
        ("vault: {connections: {x: {address: 'https://v', caFile: /a, caSecretRef: {name: a, key: b}}}}", "not both"),
        ("vault: {connections: {x: {address: 'https://v', clientKeyFile: /a}}}", "clientKeyFile go together"),
        ("vault: {connections: {x: {address: 'https://v', auth: {method: approle, secretIdFile: /a}}}}", "roleId"),
        ("vault: {connections: {x: {address: 'https://v', auth: {method: cert}}}}", "clientCertificateFile or"),
        ("vault: {connections: {x: {address: 'https://v', auth: {method: jwt}}}}", "jwtFile or jwtSecretRef is needed"),
        ("a: [", "cannot be read as YAML"),
        ("- a", "cannot be read as YAML"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    """As the person wrote it, with the nearest name where there is one."""
    with pytest.raises(SettingsError) as caught:
        load_settings(written(tmp_path, text))

    assert told in str(caught.value)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """Nobody wants to start five times."""
    with pytest.raises(SettingsError) as caught:
        load_settings(written(tmp_path, "controller: {workers: 0}\nlog: {level: loud}"))

    assert 2 == len(str(caught.value).splitlines())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """And not taken for an empty one."""
    with pytest.raises(SettingsError, match=r"none\.yaml"):
        load_settings(tmp_path / "none.yaml")


@pytest.mark.parametrize("name", ["NONSENSE__X", "CONTROLER__WORKERS", "PORTS"])
def test_an_unknown_variable_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A misspelt variable must not be without effect and without a word."""
    monkeypatch.setenv(f"PIPEDRIVE_OPERATOR_{name}", "1")

    with pytest.raises(SettingsError, match=f"PIPEDRIVE_OPERATOR_{name}"):
        load_settings(None)


@pytest.mark.parametrize("value", ["1", "1.5", "PT5M", "5 minutes", "true"])
def test_a_duration_without_a_unit_is_refused(tmp_path: Path, value: str) -> None:
    """A number alone does not say of what."""
    with pytest.raises(SettingsError, match=r"controller\.pollInterval: is not a duration such as 90s, 20m or 1h30m"):
        load_settings(written(tmp_path, f"controller: {{pollInterval: {value}}}"))


@pytest.mark.parametrize("name", ["PORT", "SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT_8080_TCP_ADDR"])
def test_what_the_kubelet_sets_for_a_service_is_passed_over(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A Service that is called like the operator must not stop it."""
    monkeypatch.setenv(f"PIPEDRIVE_OPERATOR_{name}", "tcp://10.0.0.1:8080")

    assert load_settings(None)


def test_a_file_that_is_not_there_is_told_as_that(tmp_path: Path) -> None:
    """And what to do."""
    with pytest.raises(SettingsError, match=r"nope\.yaml does not exist: name another file with --config"):
        load_settings(tmp_path / "nope.yaml")


def test_what_two_settings_must_be_together_is_told_without_a_librarys_words(tmp_path: Path) -> None:
    """The sentence names both."""
    config = tmp_path / "settings.yaml"
    config.write_text("pipedrive: {timeout: 60s}")

    with pytest.raises(SettingsError) as caught:
        load_settings(config)

    assert "leaderElection.leaseDuration must be one and a half times pipedrive.timeout at least" == str(caught.value)
