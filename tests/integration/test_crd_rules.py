"""The CRD on a real API server: each rule refuses a wrong credential and accepts the nearest correct one."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipedrive_operator.core.resource.names import GROUP, PLURAL, VERSION
from support import credential_examples
from support.credential_examples import Example, Manifest
from testbed.api_client import ApiError
from testbed.control_plane import ControlPlane
from testbed.kubectl import KubectlError

CRDS = Path(__file__).parents[2] / "crds"
SAMPLES = sorted((CRDS / "samples").glob("*.yaml"))


@pytest.fixture(scope="module", autouse=True)
def crd(control_plane: ControlPlane) -> None:
    """Install the CRD as its README says."""
    control_plane.kubectl("apply", "--server-side", f"--filename={CRDS / 'pipedrivecredentials.yaml'}")
    control_plane.kubectl("wait", "--for=condition=Established", f"crd/{PLURAL}.{GROUP}")


def send(control_plane: ControlPlane, namespace: str, command: str, manifest: Manifest, *options: str) -> str:
    """Send a manifest with kubectl, and return its output."""
    where = ("--namespace", namespace, "--filename=-")
    return control_plane.kubectl(command, *where, *options, stdin=json.dumps(manifest))


def create_dry(control_plane: ControlPlane, manifest: Manifest) -> dict[str, Any]:
    """Send a manifest as a dry run, and return the object as the API server would store it."""
    collection = f"/apis/{GROUP}/{VERSION}/namespaces/default/{PLURAL}"
    return control_plane.client().create(f"{collection}?dryRun=All", dict(manifest))


def stored(control_plane: ControlPlane, namespace: str) -> dict[str, Any]:
    """Return the stored credential of a namespace."""
    found = control_plane.kubectl("get", "pdc", "acme", "--namespace", namespace, "--output=json")
    return dict(json.loads(found))


def report(control_plane: ControlPlane, namespace: str, status: dict[str, Any]) -> None:
    """Write a status, as the operator does."""
    control_plane.kubectl(
        *("patch", "pdc", "acme", "--namespace", namespace),
        *("--subresource=status", "--type=merge", "--patch", json.dumps({"status": status})),
    )


@pytest.mark.parametrize("example", credential_examples.creations(accepted=False), ids=Example.label)
def test_a_wrong_credential_is_refused_with_a_message(control_plane: ControlPlane, example: Example) -> None:
    """The message names the field and says what to write instead."""
    with pytest.raises(ApiError) as refused:
        create_dry(control_plane, example.manifest)

    assert [example.field] == [field for field, message in refused.value.causes if example.message in message]


@pytest.mark.parametrize("example", credential_examples.creations(accepted=True), ids=Example.label)
def test_a_correct_credential_is_accepted(control_plane: ControlPlane, example: Example) -> None:
    """These are the nearest to the refused ones."""
    assert create_dry(control_plane, example.manifest)["spec"] == example.manifest["spec"]


@pytest.mark.parametrize("example", credential_examples.updates(accepted=False), ids=Example.label)
def test_a_wrong_change_is_refused_with_a_message(
    control_plane: ControlPlane, namespace: str, example: Example
) -> None:
    """The changed credential alone would be correct."""
    assert example.before is not None
    send(control_plane, namespace, "create", example.before)

    with pytest.raises(KubectlError) as refused:
        send(control_plane, namespace, "replace", example.manifest, "--dry-run=server")

    assert f"{example.field}: " in str(refused.value)
    assert example.message in str(refused.value)


@pytest.mark.parametrize("example", credential_examples.updates(accepted=True), ids=Example.label)
def test_a_correct_change_is_accepted(control_plane: ControlPlane, namespace: str, example: Example) -> None:
    """Including a change from one kind of credential to the other."""
    assert example.before is not None
    send(control_plane, namespace, "create", example.before)

    answer = send(control_plane, namespace, "replace", example.manifest, "--dry-run=server", "--output=json")

    assert json.loads(answer)["spec"] == example.manifest["spec"]


def test_the_largest_credential_is_within_the_cost_limit_of_rules(control_plane: ControlPlane) -> None:
    """The API server estimates the cost when the CRD is created, and measures it again at each write."""
    reference = "$(company_domain|json)"
    keys = [f"{'a.' * 126}a/{number:063}" for number in range(32)]
    largest = credential_examples.valid("oauth2")
    largest["spec"] = {
        "oauth2": {
            "client": {"app": "a" * 63},
            "grant": {"path": "/".join(["a" * 10] * 46)},
            "requiredScopes": [f"scope-{number}:full" for number in range(64)],
        },
        "target": {
            "labels": dict.fromkeys(keys, "a" * 63),
            "annotations": dict.fromkeys(keys, "a" * 4096),
            "data": {f"{number:0253}": reference * (8192 // len(reference)) for number in range(32)},
        },
    }

    assert "created" in send(control_plane, "default", "create", largest, "--dry-run=server")


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.stem)
def test_a_sample_applies_and_applies_again_unchanged(
    control_plane: ControlPlane, namespace: str, sample: Path
) -> None:
    """No field of the spec has a default, so a GitOps tool sees no drift."""
    first = control_plane.kubectl("apply", "--namespace", namespace, f"--filename={sample}")

    again = control_plane.kubectl("apply", "--namespace", namespace, f"--filename={sample}")
    difference = control_plane.kubectl("diff", "--namespace", namespace, f"--filename={sample}")

    assert first.strip().endswith(" created")
    assert again.strip().endswith(" unchanged")
    assert difference == ""


def test_the_crd_applies_again_without_a_difference(control_plane: ControlPlane) -> None:
    """The API server adds nothing that a GitOps tool would report as a difference."""
    path = CRDS / "pipedrivecredentials.yaml"

    assert control_plane.kubectl("diff", "--server-side", f"--filename={path}") == ""


def test_a_new_credential_is_not_reported_as_ready(control_plane: ControlPlane, namespace: str) -> None:
    """Tools that wait compare `observedGeneration` with the generation, and treat a missing one as equal."""
    send(control_plane, namespace, "create", credential_examples.valid())

    assert stored(control_plane, namespace)["status"] == {"observedGeneration": -1}


def test_the_status_is_written_separately_from_the_spec(control_plane: ControlPlane, namespace: str) -> None:
    """A person's apply cannot change it, and writing it does not increase the generation."""
    send(control_plane, namespace, "create", {**credential_examples.valid(), "status": {"secretName": "other"}})

    report(control_plane, namespace, {"observedGeneration": 1, "secretName": "acme"})

    found = stored(control_plane, namespace)
    assert found["status"] == {"observedGeneration": 1, "secretName": "acme"}
    assert found["metadata"]["generation"] == 1


def test_a_reason_of_a_newer_operator_is_accepted(control_plane: ControlPlane, namespace: str) -> None:
    """The operator may be upgraded before the CRD."""
    send(control_plane, namespace, "create", credential_examples.valid())

    report(control_plane, namespace, {"conditions": [ready("ReasonOfTomorrow")]})

    (condition,) = stored(control_plane, namespace)["status"]["conditions"]
    assert condition["reason"] == "ReasonOfTomorrow"


def ready(reason: str) -> dict[str, Any]:
    """Build a condition."""
    return {
        "type": "Ready",
        "status": "True",
        "reason": reason,
        "message": "Secret acme holds a value that Pipedrive accepts",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-03-04T12:00:00Z",
    }


def test_an_unknown_field_is_reported_and_dropped(control_plane: ControlPlane, namespace: str) -> None:
    """Kubectl refuses it by default; other clients receive a warning."""
    misspelt = credential_examples.valid()
    misspelt["spec"] = {**misspelt["spec"], "suspended": True}

    with pytest.raises(KubectlError, match=r'unknown field "spec\.suspended"'):
        send(control_plane, namespace, "create", misspelt)
    send(control_plane, namespace, "create", misspelt, "--validate=ignore")

    assert stored(control_plane, namespace)["spec"] == credential_examples.valid()["spec"]


def test_kubectl_explains_the_fields(control_plane: ControlPlane) -> None:
    """The short name works, and the descriptions are those of the models."""
    spec = control_plane.kubectl("explain", "pdc.spec")
    data = control_plane.kubectl("explain", "pdc.spec.target.data")

    assert "Exactly one of oauth2 and apiToken." in " ".join(spec.split())
    assert "$(field|json)" in data


def test_kubectl_lists_the_useful_columns(control_plane: ControlPlane, namespace: str) -> None:
    """The category works, too. A time in the future is shown unchanged."""
    send(control_plane, namespace, "create", credential_examples.valid())
    account = {"companyId": 12, "companyDomain": "acme-inc", "userId": 34}
    status = {"conditions": [ready("Published")], "account": account, "expiresAt": "2999-03-04T12:00:00Z"}
    report(control_plane, namespace, {**status, "secretName": "pipedrive"})

    heads, row = control_plane.kubectl("get", "pdc", "--namespace", namespace).splitlines()
    wide, _ = control_plane.kubectl("get", "pipedrive", "--namespace", namespace, "--output=wide").splitlines()

    assert heads.split() == ["NAME", "READY", "REASON", "COMPANY", "EXPIRES", "AGE"]
    assert row.split()[:-1] == ["acme", "True", "Published", "acme-inc", "2999-03-04T12:00:00Z"]
    assert "SECRET" in wide.split()
