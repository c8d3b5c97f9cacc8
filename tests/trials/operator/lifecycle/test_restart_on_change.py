"""Restarts of workloads, as a tenant sees them: which Deployments are restarted, when, and what the status says."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support.operated import Json
from support.tenant import Tenant, eventually, now
from testbed.control_plane import ControlPlane
from testbed.operator_process import OperatorProcess

RIGHTS = Path(__file__).parents[3] / "testbed" / "rights-rollout.yaml"
ALLOW = "pipedrive-operator.io/allow-rollout"
REVISION = "rollout.pipedrive-operator.io/acme"
ROLLOUT = {"targets": [{"kind": "Deployment", "name": "web"}]}
Operate = Callable[..., OperatorProcess]


@pytest.fixture
def operate(
    settings: Callable[[str], Json], control_plane: ControlPlane, crd: None, tmp_path: Path, namespace: str
) -> Iterator[Operate]:
    """Run an operator for the namespace of the test that allows rollouts, by default with the permissions for it."""
    assert crd is None
    wanted = settings(namespace)
    wanted["kubernetes"]["namespaces"] = [namespace]

    with ExitStack() as stack:

        def made(*, enabled: bool = True, may_patch: bool = True, min_interval: str = "1s") -> OperatorProcess:
            wanted["rollout"] = {"enabled": enabled, "minInterval": min_interval}
            if may_patch:
                control_plane.kubectl("apply", f"--filename={RIGHTS}")
                binding = ("--clusterrole=pipedrive-operator-rollout", f"--user={namespace}")
                control_plane.kubectl("create", "rolebinding", "rollout", f"--namespace={namespace}", *binding)
            return stack.enter_context(OperatorProcess(wanted, folder=tmp_path))

        yield made


def deployment(**annotations: str) -> Json:
    """Build a Deployment."""
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "example.com/web"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "annotations": annotations},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }


def restarts(tenant: Tenant) -> int:
    """Count the patches that the operator sent for the Deployment."""
    return deployment_requests(tenant).count("patch deployments")


def template(tenant: Tenant) -> dict[str, str]:
    """Return the annotations of the Deployment's pod template."""
    found: Any = tenant.get("deployment", "web")
    return dict(found["spec"]["template"]["metadata"].get("annotations", {}))


def deployment_requests(tenant: Tenant) -> list[str]:
    """Return the operator's requests about Deployments."""
    return [one.kind for one in tenant.cluster.requests(tenant.namespace) if one.resource == "deployments"]


def replace_token(tenant: Tenant) -> str:
    """Replace the user's API token, and write the new one to Vault."""
    tenant.store("acme", api_token=(new := tenant.regenerate_api_token()))
    return new


def wait_for_restarts(tenant: Tenant, count: int) -> None:
    """Wait until the Deployment was restarted that often and the status records it."""

    def is_noted() -> bool:
        noted: Any = tenant.get("pipedrivecredential", "acme")
        (workload,) = noted["status"]["rollout"]
        return restarts(tenant) == count and template(tenant).get(REVISION) == workload["revision"]

    is_noted.__doc__ = f"{count} restarts"
    eventually(is_noted)


def test_a_replaced_token_restarts_a_deployment_once(tenant: Tenant, operate: Operate) -> None:
    """The first publication and a restart of the operator restart nothing, and do not read the Deployment."""
    tenant.create(deployment(**{ALLOW: "acme"}))
    operator = operate()
    tenant.apply_api_token(rollout=ROLLOUT)
    tenant.wait_until_published()
    assert (0, []) == (restarts(tenant), deployment_requests(tenant))

    tenant.wait_for_value(replace_token(tenant))
    wait_for_restarts(tenant, 1)
    assert ["get deployments", "patch deployments"] == deployment_requests(tenant)

    operator.stop()
    operator.start()
    operator.wait_ready()
    tenant.annotate("pipedrivecredential", "acme", requested_at=(request := now()))
    eventually(lambda: tenant.get("pipedrivecredential", "acme")["status"].get("lastHandledRequest") == request)  # type: ignore[index]
    assert (1, 2) == (restarts(tenant), len(deployment_requests(tenant)))


def test_a_token_that_was_replaced_while_the_operator_was_down_restarts_once(tenant: Tenant, operate: Operate) -> None:
    """The operator was killed; the status records what it had published."""
    tenant.create(deployment(**{ALLOW: "other,acme"}))
    operator = operate()
    tenant.apply_api_token(rollout=ROLLOUT)
    tenant.wait_until_published()
    operator.kill()
    new = replace_token(tenant)

    operator.start()
    operator.wait_ready()

    tenant.wait_for_value(new)
    wait_for_restarts(tenant, 1)


def test_a_deployment_that_does_not_allow_restarts_is_not_restarted(tenant: Tenant, operate: Operate) -> None:
    """The credential stays ready, and its message says so. Once allowed, the restart follows."""
    tenant.create(deployment())
    operate()
    tenant.apply_api_token(rollout=ROLLOUT)
    tenant.wait_until_published()

    tenant.wait_for_value(replace_token(tenant))
    eventually(lambda: "its owner has not allowed it" in tenant.conditions()["Ready"]["message"])
    assert ("True", 0) == (tenant.conditions()["Ready"]["status"], restarts(tenant))
    events = json.loads(tenant.kubectl("get", "events.events.k8s.io", "--output=json"))["items"]
    assert [("Warning", "RolloutDenied")] == [(event["type"], event["reason"]) for event in events]

    tenant.kubectl("annotate", "deployment", "web", f"{ALLOW}=acme")

    wait_for_restarts(tenant, 1)
    eventually(lambda: "not allowed" not in tenant.conditions()["Ready"]["message"])


def test_a_missing_permission_to_restart_leaves_the_credential_ready(tenant: Tenant, operate: Operate) -> None:
    """The message quotes the API server."""
    tenant.create(deployment(**{ALLOW: "acme"}))
    operate(may_patch=False)
    tenant.apply_api_token(rollout=ROLLOUT)
    tenant.wait_until_published()

    tenant.wait_for_value(replace_token(tenant))

    eventually(lambda: 'cannot get resource "deployments"' in tenant.conditions()["Ready"]["message"])
    assert ("True", 0) == (tenant.conditions()["Ready"]["status"], restarts(tenant))


def test_settings_that_disable_rollouts_are_reported(tenant: Tenant, operate: Operate) -> None:
    """They are the default."""
    tenant.create(deployment(**{ALLOW: "acme"}))
    operate(enabled=False)
    tenant.apply_api_token(rollout=ROLLOUT)

    tenant.wait_until_published()

    assert "rollout.enabled is off" in tenant.conditions()["Ready"]["message"]


def test_a_refresh_restarts_a_deployment_only_on_request(tenant: Tenant, operate: Operate) -> None:
    """Access tokens are valid for an hour; in this test, a person requests a new one."""
    tenant.create(deployment(**{ALLOW: "acme"}))
    operate()
    tenant.apply_oauth2(rollout=ROLLOUT)
    first = tenant.wait_until_published()["access_token"]
    tenant.annotate("pipedrivecredential", "acme", requested_at=now(), request="refresh")
    eventually(lambda: (tenant.secret() or {}).get("access_token", first) != first)
    tenant.patch("pipedrivecredential", "acme", {"spec": {"rollout": {"onRefresh": True}}})
    eventually(lambda: tenant.get("pipedrivecredential", "acme")["status"]["observedGeneration"] == 2)  # type: ignore[index]
    assert 0 == restarts(tenant)

    tenant.annotate("pipedrivecredential", "acme", requested_at=now(), request="refresh")

    wait_for_restarts(tenant, 1)


def test_a_second_change_waits_for_the_interval(tenant: Tenant, operate: Operate) -> None:
    """It is published at once, and the message says when the Deployment is restarted."""
    tenant.create(deployment(**{ALLOW: "acme"}))
    operate(min_interval="10m")
    tenant.apply_api_token(rollout=ROLLOUT)
    tenant.wait_until_published()
    tenant.wait_for_value(replace_token(tenant))
    wait_for_restarts(tenant, 1)

    tenant.wait_for_value(replace_token(tenant))

    eventually(lambda: "and the next restart comes 10m after that" in tenant.conditions()["Ready"]["message"])
    assert 1 == restarts(tenant)
