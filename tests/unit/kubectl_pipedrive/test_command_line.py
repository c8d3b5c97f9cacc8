"""The command line takes the flags of kubectl, explains itself, and turns errors into next steps."""

import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from kubectl_pipedrive import terminal
from kubectl_pipedrive.advice import advice
from kubectl_pipedrive.command_line import Command
from kubectl_pipedrive.errors import KubectlFailed, KubectlMissing
from kubectl_pipedrive.kubectl import Subprocesses
from kubectl_pipedrive.registry import every_command
from kubectl_pipedrive.terminal import Style, Terminal
from pipedrive_operator import __version__
from pipedrive_operator.core.values.conditions import EFFECTS, EVENT_TEXTS, EventReason, Reason
from support.plugin_world import PluginWorld
from support.tenant import eventually


@pytest.mark.parametrize("command", every_command(), ids=lambda one: one.name)
def test_every_command_teaches_by_examples(command: Command) -> None:
    """The help has a text, examples that name the command, options, the usage and the exit codes."""
    typed = PluginWorld()(f"{command.name} --help")

    assert (0, "") == (typed.code, typed.err)
    for section in ("Examples:\n  # ", "Usage:\n  kubectl pipedrive ", "Exit codes: "):
        assert section in typed.out
    assert f"kubectl pipedrive {command.name}" in typed.out.split("Examples:")[1].split("Usage:")[0]
    assert 100 >= max(len(line) for line in typed.out.splitlines() if "kubectl" not in line)


def test_help_does_not_contact_the_cluster() -> None:
    """It works without one."""
    world = PluginWorld()
    world.kubectl.broken = "The connection to the server was refused"

    assert 0 == world("").code
    assert 0 == world("--help").code
    assert 0 == world("status -h").code
    assert 0 == world("new --help").code
    assert [] == world.kubectl.calls


@pytest.mark.parametrize("line", ["version", "--version", "-n crm --version", "version --context prod"])
def test_the_version_is_printed_without_a_cluster(line: str) -> None:
    """A command prints it, as in other plugins of kubectl, and so does the flag that most programs have."""
    world = PluginWorld()
    world.kubectl.broken = "The connection to the server was refused"

    typed = world(line)

    assert (0, f"kubectl pipedrive {__version__}\n", "") == (typed.code, typed.out, typed.err)
    assert [] == world.kubectl.calls


def test_flags_of_the_cluster_are_passed_on_wherever_they_stand() -> None:
    """They may precede or follow the command, with their values joined or separate."""
    world = PluginWorld()

    world(
        "-n crm --context prod status --as=jane --as-group a --as-group b -s https://x --insecure-skip-tls-verify acme"
    )

    expected = {"--context=prod", "--as=jane", "--as-group=a", "--as-group=b", "--server=https://x", "--namespace=crm"}
    assert world.kubectl.calls
    assert all(expected | {"--insecure-skip-tls-verify"} <= set(call) for call in world.kubectl.calls)


def test_a_value_that_is_a_word_of_a_command_is_a_value() -> None:
    """A namespace can be called status."""
    world = PluginWorld()
    world.kubectl.namespaces.add("status")

    world("-n status status")

    assert "--namespace=status" in world.kubectl.calls[0]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("statsu", "there is no command statsu; did you mean status?"),
        ("''", "there is no command ''"),
        ("--bogus", "`kubectl pipedrive --bogus` has no command"),
        ("-n crm", "`kubectl pipedrive -n crm` has no command"),
        ("status --version", "`kubectl pipedrive status` has no option --version"),
        ("version 1", "`kubectl pipedrive version` takes at most 0 arguments, not 1: 1"),
        ("new secret x", "there is no command new secret; write `kubectl pipedrive new api-token` or"),
        ("new", "write `kubectl pipedrive new api-token` or `kubectl pipedrive new oauth2`"),
        ("status --outptu wide", "`kubectl pipedrive status` has no option --outptu; did you mean --output?"),
        ("status -o xml", "-o or --output cannot be xml: use one of wide, json, yaml"),
        ("status -o", "-o or --output needs a value after it"),
        ("refresh acme --wait=maybe", "--wait takes no value: leave out maybe"),
        ("status acme -A", "write -n NAMESPACE in place of -A"),
        ("status acme -l team=crm", "by NAME or by -l SELECTOR, not by both"),
        ("new oauth2", "needs NAME, for example: kubectl pipedrive new oauth2 acme"),
        ("new oauth2 Acme_X", "the name 'Acme_X' is not a name that Kubernetes accepts"),
        ("new oauth2 acme --secret Acme_X", "--secret 'Acme_X' is not a name that Kubernetes accepts"),
        ("new oauth2 acme --path ''", "--path '' cannot be used"),
        ("connect", "needs NAME, for example: kubectl pipedrive connect acme -n crm"),
        ("new oauth2 a b", "takes at most 1 argument, not 2: a b"),
        ("explain ConsentRequire", "did you mean ConsentRequired?"),
        ("explain ''", "there is no reason ''"),
        ("explain nonsense", "`kubectl pipedrive explain` lists them"),
        ("status --token=x", "has no option --token"),
    ],
)
def test_a_wrong_command_line_is_explained(line: str, message: str) -> None:
    """The exit code is 2, and the message says where the help is."""
    typed = PluginWorld()(line)

    assert (2, "") == (typed.code, typed.out)
    assert message in typed.err
    assert "--help" in typed.err


def test_an_error_points_to_the_help_of_its_command() -> None:
    """Without a command, it points to the list of commands."""
    assert PluginWorld()("status --outptu wide").err.endswith("See `kubectl pipedrive status --help`.\n")
    assert PluginWorld()("statsu").err.endswith("See `kubectl pipedrive --help`.\n")


def test_a_wrong_command_line_does_not_contact_the_cluster() -> None:
    """The mistake is reported even if the cluster cannot be reached."""
    world = PluginWorld()

    for line in ("status acme -A", "refresh acme -A", "connect acme --lifetime 3d", "connect acme --paste --print"):
        assert 2 == world(line).code
    assert [] == world.kubectl.calls


@pytest.mark.parametrize(
    ("error", "step"),
    [
        ('error: the server doesn\'t have a resource type "pipedrivecredentials"', "CRD is not installed"),
        ('error: the server doesn\'t have a resource type "pipedriveconsents"', "the second CRD"),
        ('no matches for kind "PipedriveConsent" in version "x/v1"', "enables consents"),
        ('pipedrivecredentials.pipedrive-operator.io is forbidden: User "x" cannot list', "`view`"),
        ('pipedrivecredentials.x is forbidden: User "x" cannot list x at the cluster scope', "in place of -A"),
        ('Error from server (NotFound): namespaces "x" not found', "kubectl get namespaces"),
        ('Error from server (NotFound): pipedrivecredentials.pipedrive-operator.io "x" not found', "status -A"),
        ("error: You must be logged in to the server (Unauthorized)", "Log in again"),
        ('error: context "x" does not exist', "get-contexts"),
        ("The connection to the server localhost:8080 was refused - did you specify the right host", "KUBECONFIG"),
        ("error: stat /nonexistent: no such file or directory", "Check the file that --kubeconfig"),
        (
            'error: error loading config file "/tmp/x": yaml: line 1: mapping values are not allowed',
            "kubeconfig. Check",
        ),
        ("Error in configuration: context was not found for specified context: nope", "get-contexts"),
        ("The connection to the server 10.0.0.1:6443 was refused - did you specify the right host", "VPN"),
        ("Unable to connect to the server: dial tcp: lookup x: no such host", "VPN"),
    ],
)
def test_an_error_of_kubectl_is_passed_on_with_the_next_step(error: str, step: str) -> None:
    """Kubectl's own message comes first, unchanged."""
    world = PluginWorld()
    world.kubectl.broken = error

    typed = world("status")

    assert 2 == typed.code
    assert typed.err.startswith(f"{error}\n")
    assert step in typed.err


def test_log_lines_of_kubectl_are_left_out() -> None:
    """It logs an unreachable cluster up to seven times before its own message."""
    log = 'E1129 08:23:38.607688   26053 memcache.go:265] "Unhandled Error" err="couldn\'t get current server API"'
    world = PluginWorld()
    world.kubectl.broken = f"{log}\n{log}\nThe connection to the server 10.0.0.1:6443 was refused"

    assert world("status").err.startswith("The connection to the server 10.0.0.1:6443 was refused\n")

    world.kubectl.broken = log
    assert world("status").err.startswith(log)


def test_an_unknown_error_is_passed_on_as_it_is() -> None:
    """Advice that does not fit would mislead."""
    assert advice("error: something else") is None


def test_a_missing_kubectl_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The runner of programs reports it."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(KubectlMissing):
        Subprocesses().run(["version"], None)
    with pytest.raises(KubectlMissing):
        list(Subprocesses().stream(["version"]))


def test_output_and_errors_of_kubectl_are_kept_separate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The standard output is returned or streamed, and the standard error becomes the message."""
    program = tmp_path / "kubectl"
    program.write_text('#!/bin/sh\necho one; echo two; cat; [ "$1" = good ] || { echo bad >&2; exit 1; }\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    assert "one\ntwo\nthree" == Subprocesses().run(["good"], "three")
    with pytest.raises(KubectlFailed, match=r"^bad$"):
        Subprocesses().run(["wrong"], "")


def test_a_prompt_is_shown_while_kubectl_waits_for_the_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A login plugin prints a code there, for instance. What was shown is not repeated as the error."""
    program, answer = tmp_path / "kubectl", tmp_path / "answer"
    program.write_text('#!/bin/sh\necho "enter the code ABC" >&2; read answer <"$1"; echo "bad $answer" >&2; exit 1\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    os.mkfifo(answer)

    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(Subprocesses().run, [str(answer)], None)
        try:
            eventually(lambda: "enter the code ABC\n" == capfd.readouterr().err)
        finally:
            answer.write_text("123\n")
        with pytest.raises(KubectlFailed, match=r"^bad 123$"):
            waiting.result()


def test_every_reason_is_explained() -> None:
    """The text comes from the operator's own table; the case of letters does not matter."""
    for reason in Reason:
        out = PluginWorld()(f"explain {reason.upper()}").out
        assert out.startswith(f"{reason}\n")
        assert EFFECTS[reason].meaning in out
        assert EFFECTS[reason].remedy in out
    for event in EventReason:
        assert EVENT_TEXTS[event].meaning in PluginWorld()(f"explain {event.lower()}").out
    assert 1 + len(Reason) + len(EventReason) == len(PluginWorld()("explain").out.splitlines())


@pytest.mark.parametrize("kind", ["api-token", "oauth2"])
def test_a_new_manifest_is_yaml_without_a_secret_value(kind: str) -> None:
    """Comments name the path in Vault, and the value is read from the standard input."""
    out = PluginWorld()(f"new {kind} acme --company 123 --secret pipedrive").out

    manifest = yaml.safe_load(out)
    assert ("acme", "123", "pipedrive") == (
        manifest["metadata"]["name"],
        manifest["spec"]["account"]["companyDomain"],
        manifest["spec"]["target"]["name"],
    )
    assert "namespace" not in manifest["metadata"]
    assert "pipedrive/crm/acme" in str(manifest["spec"])
    assert "=-\n" in out


def test_a_new_manifest_names_the_namespace_that_was_given() -> None:
    """The path contains it too."""
    manifest = yaml.safe_load(PluginWorld()("new oauth2 acme -n sales --app sync").out)

    assert "sales" == manifest["metadata"]["namespace"]
    assert {"client": {"app": "sync"}, "grant": {"path": "pipedrive/sales/acme"}} == manifest["spec"]["oauth2"]


@pytest.mark.parametrize("name", ['"a: b"', "'x\ny'", "-x-", "'$(id)'"])
def test_a_name_that_could_be_more_than_a_name_is_refused(name: str) -> None:
    """It would end up in YAML and in a shell."""
    typed = PluginWorld()(f"new oauth2 {name}")

    assert 2 == typed.code
    assert "" == typed.out


@pytest.mark.parametrize(
    ("is_terminal", "environment", "colour"),
    [
        (True, {"TERM": "xterm"}, True),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
        (False, {"TERM": "xterm"}, False),
    ],
)
def test_colour_is_for_terminals_that_want_it(
    monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool, environment: dict[str, str], colour: bool
) -> None:
    """A pipe and `NO_COLOR` get plain text."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: is_terminal)
    monkeypatch.setattr("sys.stdout", stream)

    screen = terminal.terminal()

    assert colour is screen.colour
    assert ("\x1b[32mx\x1b[0m" if colour else "x") == screen.paint("x", Style.GOOD)
    assert (screen.width is None) is not is_terminal


def test_a_terminal_without_unicode_gets_words() -> None:
    """LANG=C is an example."""
    written = io.BytesIO()
    out = io.TextIOWrapper(written, encoding="ascii")
    screen = Terminal(out, out)

    assert ("ok", "failed") == (screen.mark(ok=True), screen.mark(ok=False))
    screen.line("Waiting … für Zoë")
    screen.part("code received …")
    assert b"Waiting ... f?r Zo?\ncode received ...\n" == written.getvalue()
