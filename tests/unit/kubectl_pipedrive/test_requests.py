"""`refresh`, `suspend` and `resume` change what the operator watches, and report what comes of it."""

import json
from datetime import timedelta
from typing import Any

import pytest

from kubectl_pipedrive.kubectl import CREDENTIALS
from support.plugin_world import NOW, PluginWorld, ago, ahead, condition

REQUESTED_AT = "pipedrive-operator.io/requested-at"
REQUEST = "pipedrive-operator.io/request"
_REFUSED = condition("Authorized", "False", "ConsentRequired", "the refresh token was refused", ago(seconds=1))


@pytest.fixture
def world() -> PluginWorld:
    """Give a namespace with a few credentials."""
    return PluginWorld()


def refreshed(body: dict[str, Any]) -> None:
    """Do what the operator does at once: refresh, and report it."""
    body["status"] |= {
        "lastHandledRequest": body["metadata"]["annotations"][REQUESTED_AT],
        "lastRefreshTime": ahead(seconds=1),
        "expiresAt": ahead(minutes=60),
    }


def handled(body: dict[str, Any]) -> None:
    """Do what the operator does at once for a check."""
    body["status"]["lastHandledRequest"] = body["metadata"]["annotations"][REQUESTED_AT]


def test_a_refresh_is_requested_by_annotations(world: PluginWorld) -> None:
    """Kubectl is called once for all credentials of a namespace."""
    typed = world("refresh acme globex")

    assert (0, "crm/acme: refresh requested\ncrm/globex: refresh requested\n") == (typed.code, typed.out)
    annotations = world.credential("globex")["metadata"]["annotations"]
    assert {REQUESTED_AT: "2026-03-04T12:19:00.000000+00:00", REQUEST: "refresh"} == annotations
    assert 1 == sum(call[0] == "annotate" for call in world.kubectl.calls)


def test_a_check_removes_an_earlier_request_for_a_refresh(world: PluginWorld) -> None:
    """Otherwise the annotation of last time would ask for a refresh again."""
    world("refresh acme")

    assert "crm/acme: check requested\n" == world("refresh acme --verify-only").out
    assert REQUEST not in world.credential("acme")["metadata"]["annotations"]


def test_an_api_token_is_checked(world: PluginWorld) -> None:
    """It cannot be refreshed."""
    assert "crm/initech: check requested\n" == world("refresh initech").out


@pytest.mark.parametrize(("choice", "names"), [("--all", 4), ("-l team=crm", 1)])
def test_many_are_chosen_by_a_label_or_all_at_once(world: PluginWorld, choice: str, names: int) -> None:
    """The options are those of kubectl."""
    assert names == len(world(f"refresh {choice}").out.splitlines())


@pytest.mark.parametrize("choice", ["", "acme --all", "acme -l team=crm"])
def test_the_choice_must_be_clear(world: PluginWorld, choice: str) -> None:
    """Nothing is refreshed by accident."""
    typed = world(f"refresh {choice}")

    assert 2 == typed.code
    assert "by NAME, by -l SELECTOR, or --all" in typed.err


def test_waiting_reports_the_new_token(world: PluginWorld) -> None:
    """The refresh is done when the status has a new time of it."""
    world.kubectl.on_change = refreshed

    typed = world("refresh acme --wait")

    assert (0, "✓ crm/acme: refreshed; the new access token expires in 1h\n") == (typed.code, typed.out)


def test_a_request_that_is_only_acted_on_is_not_done(world: PluginWorld) -> None:
    """The operator records it when it begins; the refresh takes a moment longer."""
    world.kubectl.on_change = handled

    typed = world("refresh acme --wait --timeout=20s")

    assert 1 == typed.code
    assert "no outcome after 20 s" in typed.out
    assert 20 == world.clock.sleeps


def test_waiting_reports_why_a_refresh_failed(world: PluginWorld) -> None:
    """The message is that of the condition."""

    def refused(body: dict[str, Any]) -> None:
        handled(body)
        body["status"]["conditions"][1] = _REFUSED

    world.kubectl.on_change = refused

    typed = world("refresh acme --wait")

    assert (1, "✗ crm/acme: ConsentRequired: the refresh token was refused\n") == (typed.code, typed.out)


def test_waiting_reports_the_result_of_a_check(world: PluginWorld) -> None:
    """It names the company that Pipedrive reported."""
    world.kubectl.on_change = handled

    typed = world("refresh acme --wait --verify-only")

    assert 0 == typed.code
    assert "✓ crm/acme: verified; Pipedrive accepts the token in Vault, for company acme\n" == typed.out


def test_an_earlier_failure_is_not_taken_for_the_outcome(world: PluginWorld) -> None:
    """The operator gets ten seconds to act on the request before the failure is reported."""
    typed = world("refresh umbrella --wait")

    assert 1 == typed.code
    assert "could not be acted on: SourceMissing: Vault has nothing" in typed.out
    assert NOW + timedelta(seconds=11) == world.clock.now()


def test_a_suspended_credential_is_not_waited_for(world: PluginWorld) -> None:
    """Nothing would happen; the message says how to resume it."""
    world.credential("acme")["spec"]["suspend"] = True

    typed = world("refresh acme --wait")

    assert (1, "") == (typed.code, typed.out)
    assert "kubectl pipedrive resume acme -n crm" in typed.err


def test_a_wrong_timeout_is_refused_before_anything_is_requested(world: PluginWorld) -> None:
    """Every wrong command line is refused in this way."""
    assert 2 == world("refresh acme --wait --timeout=soon").code
    assert [] == world.kubectl.calls


def test_suspending_says_how_long_the_token_lasts(world: PluginWorld) -> None:
    """A person does not have to compute it."""
    typed = world("suspend acme initech")

    assert [
        "crm/acme: suspended; Secret pipedrive stays as it is, and its access token expires in 41m",
        "crm/initech: suspended; Secret initech stays as it is",
    ] == typed.out.splitlines()
    assert True is world.credential("acme")["spec"]["suspend"]


def test_suspending_twice_changes_nothing(world: PluginWorld) -> None:
    """There is no second write."""
    world("suspend acme")

    assert "crm/acme: already suspended\n" == world("suspend acme").out
    assert 1 == sum(call[0] == "patch" for call in world.kubectl.calls)


def test_resuming_removes_the_field(world: PluginWorld) -> None:
    """The resource is then as it was applied."""
    world("suspend acme")

    assert "crm/acme: resumed\n" == world("resume acme").out
    assert "suspend" not in world.credential("acme")["spec"]
    assert "crm/acme: not suspended\n" == world("resume acme").out


def test_a_gitops_tool_may_undo_it(world: PluginWorld) -> None:
    """The change then belongs into Git."""
    world.credential("acme")["metadata"]["labels"]["kustomize.toolkit.fluxcd.io/name"] = "apps"

    assert "managed by Flux" in world("suspend acme").err


@pytest.mark.parametrize("command", ["refresh acme", "suspend acme"])
def test_the_role_view_is_not_enough(world: PluginWorld, command: str) -> None:
    """The message of kubectl is printed with the role that is."""
    world.kubectl.denied = {f"patch {CREDENTIALS}"}

    typed = world(command)

    assert 2 == typed.code
    assert "(Forbidden)" in typed.err
    assert "`edit`" in typed.err


def test_a_patch_has_no_other_field(world: PluginWorld) -> None:
    """It must not meet what a GitOps tool or a person changes at the same time."""
    world("suspend acme")

    (call,) = (call for call in world.kubectl.calls if call[0] == "patch")
    (patch,) = (text.removeprefix("--patch=") for text in call if text.startswith("--patch="))
    assert {"spec": {"suspend": True}} == json.loads(patch)
