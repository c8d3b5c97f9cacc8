"""Completion offers what can follow, in the format of cobra."""

import pytest

from kubectl_pipedrive import program
from support.plugin_world import PluginWorld


def completed(*words: str, world: PluginWorld | None = None) -> list[str]:
    """Complete a command line; the last word is unfinished."""
    return (world or PluginWorld())(" ".join(("__complete", *(repr(word) for word in words)))).out.splitlines()


@pytest.mark.parametrize(
    ("words", "candidates"),
    [
        (
            [""],
            [
                "status",
                "check",
                "explain",
                "connect",
                "refresh",
                "suspend",
                "resume",
                "new",
                "migrate",
                "version",
                ":4",
            ],
        ),
        (["re"], ["refresh", "resume", ":4"]),
        (["new", ""], ["api-token", "oauth2", ":4"]),
        (["migrate", "n"], ["n8n", ":4"]),
        (["migrate", "n8n", ""], [":0"]),
        (["status", ""], ["acme", "globex", "initech", "umbrella", ":4"]),
        (["status", "acme", "-n", "crm", ""], ["globex", "initech", "umbrella", ":4"]),
        (["check", "u"], ["umbrella", ":4"]),
        (["connect", "--paste", "g"], ["globex", ":4"]),
        (["explain", "Vault"], ["VaultUnavailable", "VaultDenied", ":4"]),
        (["explain", "Rollout"], ["RolloutDenied", ":4"]),
        (["status", "-o", ""], ["wide", "json", "yaml", ":4"]),
        (["status", "--kubeconfig", ""], [":0"]),
        (["refresh", "--ver"], ["--verify-only", ":4"]),
        (["--kubec"], ["--kubeconfig", ":4"]),
        (["--v"], ["--version", ":4"]),
        (["-n", "crm", "--v"], ["--version", ":4"]),
        (["new", "--v"], [":4"]),
        (["bogus", ""], [":4"]),
    ],
    ids=" ".join,
)
def test_what_can_follow_is_offered(words: list[str], candidates: list[str]) -> None:
    """These are commands, names, reasons, options and their values."""
    assert candidates == completed(*words)


def test_names_come_from_the_cluster_and_namespace_that_are_typed() -> None:
    """Flags of the cluster are passed on."""
    world = PluginWorld()

    completed("status", "-n", "sales", "--context", "prod", "", world=world)

    assert ["--namespace=sales", "--context=prod"] == world.kubectl.calls[-1][-2:]


def test_namespaces_and_contexts_are_completed() -> None:
    """Kubectl completes them as well."""
    world = PluginWorld()
    world.kubectl.objects["namespaces"] = [{"metadata": {"name": "crm"}}, {"metadata": {"name": "sales"}}]

    assert ["sales", ":4"] == completed("status", "-n", "s", world=world)
    completed("status", "--context", "", world=world)
    assert ["config", "get-contexts", "--output=name"] == world.kubectl.calls[-1]


def test_an_error_completes_nothing() -> None:
    """It must not disturb the typing."""
    world = PluginWorld()
    world.kubectl.broken = "The connection to the server was refused"

    assert [":4"] == completed("status", "", world=world)


def test_the_completion_script_is_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pip installs it next to the plugin."""
    monkeypatch.setattr("sys.argv", ["kubectl_complete-pipedrive", "explain", "Pen"])

    with pytest.raises(SystemExit) as ended:
        program.complete_main()

    assert 0 == ended.value.code
