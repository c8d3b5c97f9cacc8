"""`status` answers: is it well, why not, and what to do next. docs/cli.md shows the output as a whole."""

import json
from typing import Any

import pytest

from kubectl_pipedrive.kubectl import CREDENTIALS
from pipedrive_operator.core.values.conditions import EFFECTS, Reason
from support.plugin_world import PluginWorld, ago, ahead, condition


@pytest.fixture
def world() -> PluginWorld:
    """Give a namespace with a few credentials."""
    return PluginWorld()


def row(output: str, name: str) -> str:
    """Return the line of a credential."""
    return next(line for line in output.splitlines() if line.startswith(name))


def only(world: PluginWorld, *names: str) -> None:
    """Leave only these credentials."""
    world.kubectl.objects[CREDENTIALS] = [world.credential(name) for name in names]


def test_the_table_has_a_line_for_each_credential(world: PluginWorld) -> None:
    """Its columns answer the three questions."""
    typed = world("status")

    heads, *rows = typed.out.splitlines()
    assert "NAME READY REASON COMPANY EXPIRES NEXT RENEWAL NEXT STEP" == " ".join(heads.split())
    assert ["acme", "globex", "initech", "umbrella"] == [line.split()[0] for line in rows]
    assert "acme True Published acme in 41m in 21m -" == " ".join(row(typed.out, "acme").split())


def test_the_condition_that_needs_a_person_gives_the_reason(world: PluginWorld) -> None:
    """It does so although the Secret still holds a usable token."""
    remedy = EFFECTS[Reason.CONSENT_REQUIRED].remedy
    assert f"globex True ConsentRequired globex in 12m now {remedy}" == " ".join(
        row(world("status").out, "globex").split()
    )


@pytest.mark.parametrize(
    ("names", "code"),
    [(("acme", "initech"), 0), (("acme", "globex"), 1), (("umbrella",), 1), ((), 0)],
    ids=["all well", "one needs a person", "one is not ready", "none"],
)
def test_the_exit_code_says_whether_all_is_well(world: PluginWorld, names: tuple[str, ...], code: int) -> None:
    """A script can stop because of it."""
    only(world, *names)

    assert code == world("status").code
    assert code == world("status -o json").code


@pytest.mark.parametrize(
    ("status", "code", "shown"),
    [
        ({"observedGeneration": -1}, 1, "Unknown - - - - wait; if this lasts, check the operator"),
        (
            {
                "observedGeneration": 1,
                "conditions": [
                    condition("Ready", "False", "Pending", "the first pass", ago(seconds=2)),
                    condition("Authorized", "Unknown", "Pending", "the first pass", ago(seconds=2)),
                ],
            },
            1,
            "False Pending - - - wait",
        ),
        (
            {
                "observedGeneration": 1,
                "conditions": [
                    condition("Ready", "True", "Published", "usable", ago(days=1)),
                    condition("Authorized", "Unknown", "PipedriveUnavailable", "502", ago(minutes=1)),
                ],
            },
            0,
            "True PipedriveUnavailable - - - wait; check the proxy and the network if it lasts",
        ),
        (
            {
                "observedGeneration": 1,
                "conditions": [
                    condition("Ready", "True", "Published", "usable", ago(days=1)),
                    condition("Authorized", "Unknown", "Suspended", "suspended", ago(minutes=1)),
                ],
            },
            0,
            "True Suspended - - - unset spec.suspend",
        ),
        (
            {
                "observedGeneration": 1,
                "conditions": [condition("Ready", "False", "ReasonOfTheFuture", "read me", ago(minutes=1))],
            },
            1,
            "False ReasonOfTheFuture - - - follow the message of the condition",
        ),
    ],
    ids=["not processed", "first pass", "usable during an outage", "suspended", "newer operator"],
)
def test_each_state_has_a_next_step(world: PluginWorld, status: dict[str, Any], code: int, shown: str) -> None:
    """This includes a reason that this version of the plugin does not know."""
    only(world, "acme")
    world.credential("acme")["status"] = status

    typed = world("status")

    assert f"acme {shown}" == " ".join(row(typed.out, "acme").split())
    assert code == typed.code


@pytest.mark.parametrize(
    ("name", "reason", "command"),
    [
        ("acme", "GrantMissing", "connect acme -n crm"),
        ("acme", "ConsentRequired", "connect acme -n crm"),
        ("acme", "ScopeMissing", "connect acme -n crm"),
        ("acme", "WrongAccount", "connect acme -n crm"),
        ("initech", "WrongAccount", "refresh initech -n crm --verify-only --wait"),
    ],
)
def test_what_a_consent_ends_leads_to_connect(world: PluginWorld, name: str, reason: str, command: str) -> None:
    """An API token cannot be connected: it is written to Vault, and checked."""
    conditions = [condition("Ready", "False", reason, "what happened", ago(minutes=1))]
    world.credential(name)["status"]["conditions"] = conditions

    shown = world(f"status {name}").out

    assert f"kubectl pipedrive {command}" == shown.splitlines()[-1].strip()


def test_a_spec_that_was_just_changed_is_not_called_well(world: PluginWorld) -> None:
    """The status is about the former spec until the operator has processed the new one."""
    only(world, "acme")
    world.credential("acme")["metadata"]["generation"] = 2

    assert "nothing to do but wait" in world("status acme").out
    assert "wait; if this lasts, check the operator" in world("status").out


def test_one_credential_is_shown_with_everything_around_it(world: PluginWorld) -> None:
    """Its conditions, account, source, Secret, pods, times and next step are shown."""
    out = world("status acme").out

    assert out.startswith("crm/acme: well\n")
    for text in (
        "Secret pipedrive holds a value that Pipedrive accepts",
        "acme.pipedrive.com (company 12), user 34",
        "OAuth2 grant at pipedrive/crm/acme of app crm-sync",
        "pipedrive with the keys access_token, api_domain",
        "Pod crm-sync-7c9f: mounted at /credentials",
        "Pod report-28491: environment variable PIPEDRIVE_TOKEN (new values only after a restart)",
        "in 41m (2026-03-04T13:00:00Z)",
        "The operator refreshes the access token in 21m",
    ):
        assert text in out


def test_a_problem_is_shown_with_its_event_and_the_next_command(world: PluginWorld) -> None:
    """A message that two conditions share is printed once there, and once as the Event."""
    out = world("status globex").out

    assert out.startswith("crm/globex: a person must act (ConsentRequired)\n")
    assert 2 == out.count("Pipedrive refused the refresh token (invalid_grant)")
    assert "8m    Warning   ConsentRequired" in out
    assert EFFECTS[Reason.CONSENT_REQUIRED].remedy in out.splitlines()[-2]
    assert "kubectl pipedrive connect globex -n crm" == out.splitlines()[-1].strip()


def test_no_value_of_the_secret_reaches_the_plugin(world: PluginWorld) -> None:
    """Kubectl is asked for the keys alone."""
    out = world("status acme").out

    asked = next(call for call in world.kubectl.calls if call[:2] == ["get", "secret"])
    assert any("go-template" in text and "$key" in text for text in asked)
    assert not any("--output=json" in text for text in asked)
    assert "c2VjcmV0" not in out


def test_what_the_role_view_may_not_read_is_named_and_the_rest_is_shown(world: PluginWorld) -> None:
    """Someone with the role `view` cannot read Secrets."""
    world.kubectl.denied = {"secret", "pods", "events"}

    typed = world("status acme")

    assert 0 == typed.code
    assert "pipedrive, published (your permissions do not include reading Secrets)" in typed.out
    assert "not shown: your permissions do not include listing pods" in typed.out
    assert "not shown: your permissions do not include listing Events" in typed.out


def test_events_of_a_former_credential_of_the_name_are_left_out(world: PluginWorld) -> None:
    """It was deleted and created again."""
    world.credential("globex")["metadata"]["uid"] = "another"

    assert "none; Kubernetes keeps them for an hour" in world("status globex").out


def test_a_watch_prints_a_line_for_each_change(world: PluginWorld) -> None:
    """It runs until Ctrl-C, and does not repeat what the table has shown already."""
    same, renewed = world.credential("acme"), json.loads(json.dumps(world.credential("acme")))
    renewed["metadata"]["resourceVersion"] = "101"
    renewed["status"]["expiresAt"] = ahead(minutes=60)
    world.kubectl.events = [("ADDED", same), ("MODIFIED", renewed), ("MODIFIED", renewed), ("DELETED", renewed)]

    typed = world("status --watch")

    assert 130 == typed.code
    assert 5 + 2 == len(typed.out.splitlines())
    assert "in 1h" in typed.out.splitlines()[-2]
    assert "crm/acme was deleted" == typed.out.splitlines()[-1]


def test_a_watch_of_one_credential_has_a_heading(world: PluginWorld) -> None:
    """The rows of later changes would have none below the whole story."""
    only(world, "acme")

    *story, heads, row_of_acme = world("status acme --watch").out.splitlines()

    assert "crm/acme: well" == story[0]
    assert ["NAME", "acme"] == [heads.split()[0], row_of_acme.split()[0]]


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_a_watch_prints_no_resources(world: PluginWorld, output: str) -> None:
    """The message names the command of kubectl that does."""
    typed = world(f"status -o {output} --watch")

    assert (2, "") == (typed.code, typed.out)
    assert f"kubectl get pdc --watch --output={output}" in typed.err


def test_json_and_yaml_are_what_kubectl_prints(world: PluginWorld) -> None:
    """The resources are the interface for programs, and docs/api.md describes them."""
    assert ["acme", "globex", "initech", "umbrella"] == [
        one["metadata"]["name"] for one in json.loads(world("status -o json").out)["items"]
    ]
    assert "apiVersion: v1" in world("status -o yaml").out


def test_an_empty_namespace_is_no_error(world: PluginWorld) -> None:
    """The message says how to begin, and goes to the standard error."""
    only(world)

    typed = world("status")

    assert (0, "") == (typed.code, typed.out)
    assert "No PipedriveCredential in namespace crm" in typed.err
    assert "kubectl pipedrive new oauth2 NAME" in typed.err


def test_a_namespace_that_does_not_exist_is_an_error(world: PluginWorld) -> None:
    """Kubectl alone would print an empty list."""
    typed = world("status -n crn")

    assert 2 == typed.code
    assert 'namespaces "crn" not found' in typed.err
    assert "kubectl get namespaces" in typed.err


@pytest.mark.parametrize(
    "line", ["status acme -n crn", "refresh acme -n crn", "check acme -n crn", "connect acme -n crn"]
)
def test_a_wrong_namespace_is_named_and_not_the_credential(world: PluginWorld, line: str) -> None:
    """Kubectl alone would say that it does not find the credential."""
    typed = world(line)

    assert 2 == typed.code
    assert 'namespaces "crn" not found' in typed.err
    assert '"acme"' not in typed.err


def test_someone_who_cannot_read_namespaces_gets_the_empty_list(world: PluginWorld) -> None:
    """They must not find out whether the namespace exists."""
    world.kubectl.denied = {"namespaces"}

    assert 0 == world("status -n crn").code
    assert '"acme" not found' in world("status acme -n crn").err


def test_a_terminal_has_colours_and_no_line_that_wraps(world: PluginWorld) -> None:
    """The last column of the table is cut, and the messages of one credential are folded."""
    world.colour, world.width = True, 96

    table, one = world("status").out, world("status umbrella").out

    assert "\x1b[32mTrue\x1b[0m" in table
    assert "\x1b[31mSourceMissing\x1b[0m" in table
    plain = table.replace("\x1b[1m", "").replace("\x1b[31m", "").replace("\x1b[32m", "").replace("\x1b[0m", "")
    assert "…" in plain
    assert 96 >= max(len(line) for line in plain.splitlines())
    folded = one.split("Authorized:")[0].splitlines()[-2:]
    assert all(line.startswith(" " * 15) and len(line) <= 96 for line in folded)
    world.colour = False
    for line in ("status globex", "check globex", "explain ConsentRequired"):
        assert 96 >= max(len(shown) for shown in world(line).out.splitlines()), line
