"""The contract of `ports.Workloads`, which the fake and the adapter with a real API server must both keep."""

import pytest

from contracts.kubernetes_contract import ClusterPart
from contracts.wire import Loss
from pipedrive_operator.core.publication.rollout import (
    ANNOTATION_ALLOW_ROLLOUT,
    ANNOTATION_RESTARTED_AT,
    Workload,
    restart_patch,
)
from pipedrive_operator.core.resource.workload import WorkloadKind, WorkloadReference
from pipedrive_operator.core.values.errors import ApiServerUnavailable, WorkloadChanged, WorkloadDenied
from support.builders import API_TOKEN_SPEC, NOW, readable, resource

ALLOWED = {ANNOTATION_ALLOW_ROLLOUT: "acme"}
CREDENTIAL = readable(resource(API_TOKEN_SPEC))
RESTARTED = {"rollout.pipedrive-operator.io/acme": "one-a", ANNOTATION_RESTARTED_AT: "2026-03-04T12:00:00Z"}
WEB = WorkloadReference(kind=WorkloadKind.DEPLOYMENT, name="web")


async def created(cluster: ClusterPart, reference: WorkloadReference = WEB) -> Workload:
    """Create a workload that allows a restart, and read it."""
    await cluster.put_workload(reference, ALLOWED)
    return await existing(cluster, reference)


async def existing(cluster: ClusterPart, reference: WorkloadReference = WEB) -> Workload:
    """Read a workload that exists."""
    found = await cluster.workloads.read(cluster.namespace, reference)
    assert found is not None
    return found


async def restart(cluster: ClusterPart, workload: Workload) -> None:
    """Send the patch that the operator restarts a workload with."""
    await cluster.workloads.patch(workload, restart_patch(workload, CREDENTIAL, "one-a", NOW))


@pytest.mark.parametrize("kind", list(WorkloadKind))
async def test_a_workload_that_does_not_exist_is_none(cluster: ClusterPart, kind: WorkloadKind) -> None:
    """It is not an error, because the workload may be created later."""
    assert await cluster.workloads.read(cluster.namespace, WorkloadReference(kind=kind, name="web")) is None


@pytest.mark.parametrize("kind", list(WorkloadKind))
async def test_a_workload_is_read_with_its_annotations(cluster: ClusterPart, kind: WorkloadKind) -> None:
    """Its own annotations allow the restart; those of its pod template show the last restart."""
    reference = WorkloadReference(kind=kind, name="web")

    found = await created(cluster, reference)

    assert (reference, cluster.namespace) == (found.reference, found.namespace)
    assert ALLOWED.items() <= found.annotations.items()
    assert {} == found.template_annotations


async def test_workloads_of_different_kinds_may_share_a_name(cluster: ClusterPart) -> None:
    """A restart of one does not touch the other."""
    stateful = WorkloadReference(kind=WorkloadKind.STATEFUL_SET, name="web")
    deployment, stateful_set = await created(cluster), await created(cluster, stateful)

    await restart(cluster, deployment)

    assert stateful_set == await existing(cluster, stateful)


async def test_a_workload_of_another_namespace_is_none(cluster: ClusterPart) -> None:
    """A credential cannot restart what is not in its own namespace."""
    await created(cluster)

    assert await cluster.workloads.read("default", WEB) is None


@pytest.mark.parametrize("kind", list(WorkloadKind))
async def test_a_restart_annotates_the_pod_template_and_keeps_the_permission(
    cluster: ClusterPart, kind: WorkloadKind
) -> None:
    """Its resourceVersion changes. The annotations may too: a DaemonSet counts the changes of its template in one."""
    before = await created(cluster, WorkloadReference(kind=kind, name="web"))

    await restart(cluster, before)

    after = await existing(cluster, before.reference)
    assert RESTARTED == after.template_annotations
    assert before.resource_version != after.resource_version
    assert ALLOWED.items() <= after.annotations.items()


async def test_a_patch_keeps_what_it_does_not_name_and_removes_what_is_null(cluster: ClusterPart) -> None:
    """RFC 7386 defines a merge patch so."""
    await restart(cluster, await created(cluster))
    restarted = await existing(cluster)
    annotations = {ANNOTATION_RESTARTED_AT: None, "another": "1"}

    await cluster.workloads.patch(
        restarted,
        {
            "metadata": {"resourceVersion": restarted.resource_version},
            "spec": {"template": {"metadata": {"annotations": annotations}}},
        },
    )

    kept = {"rollout.pipedrive-operator.io/acme": "one-a", "another": "1"}
    assert kept == (await existing(cluster)).template_annotations


async def test_a_patch_made_for_an_older_version_changes_nothing(cluster: ClusterPart) -> None:
    """The change in between may have withdrawn the permission to restart."""
    workload = await created(cluster)
    await cluster.touch_workload(WEB)
    touched = await existing(cluster)

    with pytest.raises(WorkloadChanged):
        await restart(cluster, workload)

    assert touched == await existing(cluster)


async def test_a_patch_of_a_deleted_workload_creates_nothing(cluster: ClusterPart) -> None:
    """It counts as changed, so that the caller reads it again and finds it gone."""
    workload = await created(cluster)
    await cluster.delete_workload(WEB)

    with pytest.raises(WorkloadChanged):
        await restart(cluster, workload)

    assert await cluster.workloads.read(cluster.namespace, WEB) is None


async def test_a_patch_that_changes_nothing_keeps_the_version(cluster: ClusterPart) -> None:
    """The same restart twice within a second restarts the pods once."""
    await restart(cluster, await created(cluster))
    restarted = await existing(cluster)

    await restart(cluster, restarted)

    assert restarted == await existing(cluster)


async def test_a_denied_read_is_not_a_missing_workload(cluster: ClusterPart) -> None:
    """A person must grant the permission; the workload may exist."""
    await created(cluster)

    async with cluster.workloads_without_rights() as workloads:
        with pytest.raises(WorkloadDenied):
            await workloads.read(cluster.namespace, WEB)


async def test_a_denied_patch_changes_nothing(cluster: ClusterPart) -> None:
    """It is not reported as a change by someone else, which would lead to another try at once."""
    workload = await created(cluster)

    async with cluster.workloads_without_rights() as workloads:
        with pytest.raises(WorkloadDenied):
            await workloads.patch(workload, restart_patch(workload, CREDENTIAL, "one-a", NOW))

    assert workload == await existing(cluster)


@pytest.mark.parametrize("loss", [Loss.REQUESTS, Loss.ANSWERS])
async def test_a_lost_read_is_unavailable(cluster: ClusterPart, loss: Loss) -> None:
    """It is not reported as a missing workload."""
    await created(cluster)
    await cluster.lose(loss)

    with pytest.raises(ApiServerUnavailable):
        await cluster.workloads.read(cluster.namespace, WEB)


async def test_a_patch_whose_request_is_lost_changes_nothing(cluster: ClusterPart) -> None:
    """The port reports that the API server is unavailable."""
    workload = await created(cluster)
    await cluster.lose(Loss.REQUESTS)

    with pytest.raises(ApiServerUnavailable):
        await restart(cluster, workload)

    cluster.heal()
    assert workload == await existing(cluster)


async def test_a_patch_whose_response_is_lost_has_restarted_the_workload(cluster: ClusterPart) -> None:
    """The caller cannot know, but the annotation shows it; the same patch does not restart it a second time."""
    workload = await created(cluster)
    await cluster.lose(Loss.ANSWERS)

    with pytest.raises(ApiServerUnavailable):
        await restart(cluster, workload)

    cluster.heal()
    assert RESTARTED == (await existing(cluster)).template_annotations
    with pytest.raises(WorkloadChanged):
        await restart(cluster, workload)
