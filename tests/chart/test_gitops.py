"""How Argo CD, Flux, Helm 4 and kubectl read a credential's status, for every reason.

Argo CD runs `docs/argocd-health.lua`; Flux and Helm 4 use kstatus, which is built here from Go.
"""

import json
import os
import subprocess
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lupa.lua51 import LuaRuntime

from pipedrive_operator.core.decision.decision import Action, Decision
from pipedrive_operator.core.decision.report import report
from pipedrive_operator.core.resource.credential import write_status
from pipedrive_operator.core.values.conditions import EFFECTS, Reason
from support.builders import oauth2_up_to_date
from support.credential_examples import valid
from testbed.control_plane import ControlPlane
from testbed.go_build import MODULE
from testbed.kubectl import KubectlError

Manifest = dict[str, Any]
SCRIPT = Path(__file__).parents[2] / "docs" / "argocd-health.lua"
STALLED = sorted(reason for reason, effect in EFFECTS.items() if effect.stalled)
WAITING = sorted(set(Reason) - set(STALLED) - {Reason.PUBLISHED, Reason.ACCEPTED})


def reported(reason: Reason, *, published: bool, **spec: Any) -> Manifest:
    """Build a credential with the status that the operator writes for a reason."""
    seen = oauth2_up_to_date()
    seen = seen if published else replace(seen, target=None)
    decision = Decision(action=Action.WAIT, reason=reason, message="what to do next")
    status = write_status(report(seen, decision, handled_request=None))
    manifest = valid("oauth2")
    metadata = {"namespace": "crm", **manifest["metadata"], "generation": seen.credential.generation}
    return {**manifest, "metadata": metadata, "spec": {**manifest["spec"], **spec}, "status": status}


def argo(manifest: Manifest) -> tuple[str, str]:
    """Run the script as Argo CD does, with the object as `obj`."""
    lua = LuaRuntime()
    lua.globals().obj = lua.table_from(manifest, recursive=True)
    health = lua.execute(SCRIPT.read_text())
    return health.status, health.message


@pytest.fixture(scope="session")
def kstatus(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Manifest], str]:
    """Build the program that calls kstatus."""
    program = tmp_path_factory.mktemp("kstatus") / "kstatus"
    command = ("go", "build", "-trimpath", "-buildvcs=false", "-o", program, "./kstatus")
    subprocess.run(command, cwd=MODULE, env=os.environ | {"CGO_ENABLED": "0"}, check=True)

    def computed(manifest: Manifest) -> str:
        done = subprocess.run(program, input=json.dumps([manifest]), capture_output=True, text=True, check=True)
        return done.stdout.strip()

    return computed


def both(manifest: Manifest, kstatus: Callable[[Manifest], str]) -> Mapping[str, str]:
    """Return the verdicts of both tools."""
    return {"argo": argo(manifest)[0], "kstatus": kstatus(manifest)}


def test_a_published_credential_is_healthy(kstatus: Callable[[Manifest], str]) -> None:
    """A GitOps tool then continues with what needs the Secret."""
    assert {"argo": "Healthy", "kstatus": "Current"} == both(reported(Reason.PUBLISHED, published=True), kstatus)


def test_a_new_credential_is_in_progress(kstatus: Callable[[Manifest], str]) -> None:
    """The CRD gives it such a status before the operator has seen it."""
    manifest = reported(Reason.PUBLISHED, published=True) | {"status": {"observedGeneration": -1}}

    assert {"argo": "Progressing", "kstatus": "InProgress"} == both(manifest, kstatus)


def test_a_credential_without_a_status_is_in_progress_for_argo() -> None:
    """A CRD without a default status cannot mislead it."""
    manifest = reported(Reason.PUBLISHED, published=True)
    del manifest["status"]

    assert "Progressing" == argo(manifest)[0]


def test_a_change_is_in_progress_until_it_was_handled(kstatus: Callable[[Manifest], str]) -> None:
    """The conditions of the former generation are fine nevertheless."""
    manifest = reported(Reason.PUBLISHED, published=True)
    manifest["metadata"]["generation"] += 1

    assert {"argo": "Progressing", "kstatus": "InProgress"} == both(manifest, kstatus)


@pytest.mark.parametrize("published", [True, False], ids=["published before", "never published"])
@pytest.mark.parametrize("reason", STALLED)
def test_a_trouble_that_needs_a_person_is_a_failure(
    kstatus: Callable[[Manifest], str], reason: Reason, *, published: bool
) -> None:
    """The Secret may still be usable, but it will expire."""
    manifest = reported(reason, published=published)

    assert {"argo": "Degraded", "kstatus": "Failed"} == both(manifest, kstatus)
    assert f"{reason}: what to do next" == argo(manifest)[1]


@pytest.mark.parametrize("reason", WAITING)
def test_an_outage_changes_nothing_while_the_secret_can_be_used(
    kstatus: Callable[[Manifest], str], reason: Reason
) -> None:
    """It does not block the rollout of other objects."""
    assert {"argo": "Healthy", "kstatus": "Current"} == both(reported(reason, published=True), kstatus)


@pytest.mark.parametrize("reason", sorted(set(WAITING) - {Reason.GRANT_MISSING}))
def test_a_credential_that_was_never_published_is_in_progress(
    kstatus: Callable[[Manifest], str], reason: Reason
) -> None:
    """It may be published without a person."""
    manifest = reported(reason, published=False)

    assert {"argo": "Progressing", "kstatus": "InProgress"} == both(manifest, kstatus)
    assert f"{reason}: what to do next" == argo(manifest)[1]


def test_a_missing_grant_is_suspended_for_argo(kstatus: Callable[[Manifest], str]) -> None:
    """It is not a failure but waits for a person. kstatus has no such state, and waits, too."""
    manifest = reported(Reason.GRANT_MISSING, published=False)

    assert {"argo": "Suspended", "kstatus": "InProgress"} == both(manifest, kstatus)
    assert "what to do next" == argo(manifest)[1]


@pytest.mark.parametrize("reason", [Reason.SUSPENDED, Reason.CONSENT_REQUIRED])
def test_a_suspended_credential_is_suspended_for_argo_in_any_state(reason: Reason) -> None:
    """Somebody suspended it deliberately."""
    assert "Suspended" == argo(reported(reason, published=True, suspend=True))[0]


def test_kubectl_waits_until_a_credential_is_ready(control_plane: ControlPlane) -> None:
    """`kubectl wait` checks the condition, and the generation that it is about."""
    namespace = f"test-{uuid.uuid4().hex[:8]}"
    where = f"--namespace={namespace}"
    control_plane.kubectl("create", "namespace", namespace)
    control_plane.kubectl("create", where, "--filename=-", stdin=json.dumps(valid()))
    wait = ("wait", "--for=condition=Ready", "pdc/acme", where)

    with pytest.raises(KubectlError, match="timed out"):
        control_plane.kubectl(*wait, "--timeout=1s")
    status = reported(Reason.PUBLISHED, published=True)["status"]
    conditions = [one | {"observedGeneration": 1} for one in status["conditions"]]
    patch = json.dumps({"status": {**status, "observedGeneration": 1, "conditions": conditions}})
    control_plane.kubectl("patch", "pdc/acme", where, "--subresource=status", "--type=merge", f"--patch={patch}")

    assert "condition met" in control_plane.kubectl(*wait, "--timeout=10s")

    control_plane.kubectl("patch", "pdc/acme", where, "--type=merge", '--patch={"spec": {"suspend": true}}')
    with pytest.raises(KubectlError, match="timed out"):
        control_plane.kubectl(*wait, "--timeout=1s")
    control_plane.kubectl("delete", "namespace", namespace, "--wait=false")
