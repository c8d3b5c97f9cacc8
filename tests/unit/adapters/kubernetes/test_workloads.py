"""What the operator reads of a workload: an object of any form is judged, or is no usable response."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_operator.adapters.kubernetes.workloads import KubernetesWorkloads
from pipedrive_operator.core.publication.rollout import (
    ANNOTATION_ALLOW_ROLLOUT,
    ANNOTATION_RESTARTED_AT,
    ANNOTATION_ROLLED_OUT,
    RestartPacing,
    Result,
    Workload,
    judge,
    restart_patch,
)
from pipedrive_operator.core.resource.workload import WorkloadKind, WorkloadReference
from pipedrive_operator.core.values.errors import ApiServerUnavailable
from pipedrive_operator.core.values.times import format_time
from support.builders import API_TOKEN_SPEC, NOW, readable, resource
from support.properties import TIMES, mostly, reads_anything

WEB: Final = WorkloadReference(kind=WorkloadKind.DEPLOYMENT, name="web")
CREDENTIAL: Final = readable(
    resource(API_TOKEN_SPEC | {"rollout": {"targets": [{"kind": "Deployment", "name": "web"}]}})
)
PACING: Final = RestartPacing(interval=timedelta(minutes=10), retry=timedelta(minutes=5))
PUBLISHED: Final = "aaaa-bbbb"
NAMES: Final = st.sampled_from(["acme", "acme,other", " acme , x", "other", "", ",,,", "ACME"])
RECENT: Final = st.timedeltas(-2 * PACING.interval, 2 * PACING.interval).map(lambda ago: format_time(NOW - ago))
REVISIONS: Final = st.sampled_from([PUBLISHED, "aaaa-cccc", "dddd-bbbb", "", "-", "x" * 5000])


def fields(**known: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Build an object with these fields, or anything else in its place."""
    return mostly(st.fixed_dictionaries(known))


METADATA: Final = {"namespace": "crm", "name": "web", "uid": "uid-1", "resourceVersion": "7"}
OF_WORKLOAD: Final = st.fixed_dictionaries({ANNOTATION_ALLOW_ROLLOUT: NAMES}, optional={"other": st.text()})
OF_TEMPLATE: Final = st.fixed_dictionaries(
    {},
    optional={
        ANNOTATION_RESTARTED_AT: RECENT | TIMES.map(str),
        f"{ANNOTATION_ROLLED_OUT}acme": REVISIONS,
        "x": st.text(),
    },
)
WORKLOADS: Final = st.fixed_dictionaries(
    {
        "metadata": mostly(OF_WORKLOAD).map(lambda written: METADATA | {"annotations": written}),
        "spec": fields(template=fields(metadata=fields(annotations=mostly(OF_TEMPLATE)))),
    }
)


class Stored:
    """An API server that returns one object."""

    def __init__(self, body: dict[str, Any]) -> None:
        """Return this object."""
        self._body = body

    async def get(self, _: object) -> dict[str, Any]:
        """Return the object."""
        return self._body


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """Return a loop for all inputs."""
    with asyncio.Runner() as made:
        yield made


def read(runner: asyncio.Runner, body: dict[str, Any]) -> Workload | None:
    """Read what the API server returned; None if it is no usable response."""
    try:
        return runner.run(KubernetesWorkloads(cast("Any", Stored(body))).read("crm", WEB))
    except ApiServerUnavailable:
        return None


@reads_anything
@given(body=WORKLOADS)
def test_a_workload_is_judged_or_unusable(runner: asyncio.Runner, body: dict[str, Any]) -> None:
    """Its owner writes any annotation. A restart is never planned for a time that has passed."""
    workload = read(runner, body)
    if workload is None:
        return

    state = judge(workload, CREDENTIAL, PUBLISHED, now=NOW, pacing=PACING)

    assert state.message.isprintable()
    assert len(state.message) < 1000
    assert state.retry_at is None or NOW < state.retry_at <= NOW + 2 * PACING.interval
    if state.result is Result.RESTARTED:
        assert "7" == restart_patch(workload, CREDENTIAL, PUBLISHED, NOW)["metadata"]["resourceVersion"]
