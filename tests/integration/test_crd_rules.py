"""What a real API server makes of the CRD: each rule refuses with its sentence, and lets the next best pass."""

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
    """Have kubectl send a manifest, and return what it says."""
    where = ("--namespace", namespace, "--filename=-")
    return control_plane.kubectl(command, *where, *options, stdin=json.dumps(manifest))


def create_dry(control_plane: ControlPlane, manifest: Manifest) -> dict[str, Any]:
    """Have the API server check a manifest and create nothing; return what it would have stored."""
    collection = f"/apis/{GROUP}/{VERSION}/namespaces/default/{PLURAL}"
    return control_plane.client().create(f"{collection}?dryRun=All", dict(manifest))


def stored(control_plane: ControlPlane, namespace: str) -> dict[str, Any]:
    """Return the credential of that namespace."""
    found = control_plane.kubectl("get", "pdc", "acme", "--namespace", namespace, "--output=json")
    return dict(json.loads(found))


def report(control_plane: ControlPlane, namespace: str, status: dict[str, Any]) -> None:
    """Write a status, as the operator does."""
    control_plane.kubectl(
        *("patch", "pdc", "acme", "--namespace", namespace),
        *("--subresource=status", "--type=merge", "--patch", json.dumps({"status": status})),
    )


@pytest.mark.parametrize("example", credential_examples.creations(accepted=False), ids=Example.label)
def test_a_wrong_credential_is_refused_with_a_sentence(control_plane: ControlPlane, example: Example) -> None:
    """The sentence says what to write instead, and stands beside the field."""
    with pytest.raises(ApiError) as refused:
        create_dry(control_plane, example.manifest)

    assert [example.field] == [field for field, message in refused.value.causes if example.message in message]


@pytest.mark.parametrize("example", credential_examples.creations(accepted=True), ids=Example.label)
def test_a_right_credential_is_taken(control_plane: ControlPlane, example: Example) -> None:
    """The nearest to what is refused."""
    assert create_dry(control_plane, example.manifest)["spec"] == example.manifest["spec"]


@pytest.mark.parametrize("example", credential_examples.updates(accepted=False), ids=Example.label)
def test_a_wrong_change_is_refused_with_a_sentence(
    control_plane: ControlPlane, namespace: str, example: Example
) -> None:
    """Though the credential as such is right."""
    assert example.before is not None
    send(control_plane, namespace, "create", example.before)

    with pytest.raises(KubectlError) as refused:
        send(control_plane, namespace, "replace", example.manifest, "--dry-run=server")

    assert f"{example.field}: " in str(refused.value)
    assert example.message in str(refused.value)


@pytest.mark.parametrize("example", credential_examples.updates(accepted=True), ids=Example.label)
def test_a_right_change_is_taken(control_plane: ControlPlane, namespace: str, example: Example) -> None:
    """Also from one kind of credential to the other."""
    assert example.before is not None
    send(control_plane, namespace, "create", example.before)

    answer = send(control_plane, namespace, "replace", example.manifest, "--dry-run=server", "--output=json")

    assert json.loads(answer)["spec"] == example.manifest["spec"]


def test_the_largest_credential_is_within_the_cost_that_rules_may_have(control_plane: ControlPlane) -> None:
    """The API server estimates the cost when it takes the CRD, and measures it again at each write."""
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
    """Nothing in the spec is defaulted, so a GitOps tool sees no drift."""
    first = control_plane.kubectl("apply", "--namespace", namespace, f"--filename={sample}")

    again = control_plane.kubectl("apply", "--namespace", namespace, f"--filename={sample}")
    difference = control_plane.kubectl("diff", "--namespace", namespace, f"--filename={sample}")

    assert first.strip().endswith(" created")
    assert again.strip().endswith(" unchanged")
    assert difference == ""


def test_the_crd_applies_again_without_a_difference(control_plane: ControlPlane) -> None:
    """The API server has nothing to add to it that a GitOps tool would show."""
    path = CRDS / "pipedrivecredentials.yaml"

    assert control_plane.kubectl("diff", "--server-side", f"--filename={path}") == ""


def test_a_new_credential_does_not_look_finished(control_plane: ControlPlane, namespace: str) -> None:
    """Tools that wait compare `observedGeneration` with the generation, and take an absent one for a match."""
    send(control_plane, namespace, "create", credential_examples.valid())

    assert stored(control_plane, namespace)["status"] == {"observedGeneration": -1}


def test_status_is_written_apart_from_the_spec(control_plane: ControlPlane, namespace: str) -> None:
    """A person's apply cannot change it, and it does not count as a new generation."""
    send(control_plane, namespace, "create", {**credential_examples.valid(), "status": {"secretName": "other"}})

    report(control_plane, namespace, {"observedGeneration": 1, "secretName": "acme"})

    found = stored(control_plane, namespace)
    assert found["status"] == {"observedGeneration": 1, "secretName": "acme"}
    assert found["metadata"]["generation"] == 1


def test_a_reason_of_a_newer_operator_is_taken(control_plane: ControlPlane, namespace: str) -> None:
    """The list of reasons may grow before the CRD is upgraded."""
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


def test_an_unknown_field_is_told_and_dropped(control_plane: ControlPlane, namespace: str) -> None:
    """Kubectl refuses it by default; a client that does not ask is warned."""
    misspelt = credential_examples.valid()
    misspelt["spec"] = {**misspelt["spec"], "suspended": True}

    with pytest.raises(KubectlError, match=r'unknown field "spec\.suspended"'):
        send(control_plane, namespace, "create", misspelt)
    send(control_plane, namespace, "create", misspelt, "--validate=ignore")

    assert stored(control_plane, namespace)["spec"] == credential_examples.valid()["spec"]


def test_kubectl_explains_the_fields(control_plane: ControlPlane) -> None:
    """By the short name, with the words of the models."""
    spec = control_plane.kubectl("explain", "pdc.spec")
    data = control_plane.kubectl("explain", "pdc.spec.target.data")

    assert "Exactly one of oauth2 and apiToken." in " ".join(spec.split())
    assert "$(field|json)" in data


def test_kubectl_lists_what_people_look_for(control_plane: ControlPlane, namespace: str) -> None:
    """Also under the category; a time that lies ahead is shown as it is."""
    send(control_plane, namespace, "create", credential_examples.valid())
    account = {"companyId": 12, "companyDomain": "acme-inc", "userId": 34}
    status = {"conditions": [ready("Published")], "account": account, "expiresAt": "2999-03-04T12:00:00Z"}
    report(control_plane, namespace, {**status, "secretName": "pipedrive"})

    heads, row = control_plane.kubectl("get", "pdc", "--namespace", namespace).splitlines()
    wide, _ = control_plane.kubectl("get", "pipedrive", "--namespace", namespace, "--output=wide").splitlines()

    assert heads.split() == ["NAME", "READY", "REASON", "COMPANY", "EXPIRES", "AGE"]
    assert row.split()[:-1] == ["acme", "True", "Published", "acme-inc", "2999-03-04T12:00:00Z"]
    assert "SECRET" in wide.split()
