"""One operator for all tests of this folder: every trouble happens at the same time, and tests read the record."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.troubles import of_pipedrive, of_the_cluster, of_the_spec, of_vault
from support.troubles.play import Play, play
from support.troubles.real_parts import operate, set_up
from testbed.control_plane import ControlPlane
from testbed.openbao import OpenBao
from testbed.operator_process import OperatorProcess

ALL = (*of_the_spec.TROUBLES, *of_vault.TROUBLES, *of_pipedrive.TROUBLES, *of_the_cluster.TROUBLES)


@dataclass(frozen=True, kw_only=True)
class Performance:
    """What was recorded, and the operator, which still runs."""

    play: Play
    operator: OperatorProcess


Perform = Callable[[str], Performance]


@pytest.fixture(scope="module")
def perform(
    control_plane: ControlPlane, crd: None, openbao: OpenBao, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Perform]:
    """Cause and fix all troubles, once for each format of the log."""
    assert crd is None
    with ExitStack() as stack:
        performances: dict[str, Performance] = {}

        def performed(log_format: str) -> Performance:
            if log_format not in performances:
                folder = tmp_path_factory.mktemp(f"bad-input-{log_format}")
                performances[log_format] = stack.enter_context(_performed(control_plane, openbao, folder, log_format))
            return performances[log_format]

        yield performed


@pytest.fixture(scope="module")
def troubles(perform: Perform) -> Play:
    """Return everything that was recorded, in either format of the log."""
    return perform("json").play


@contextmanager
def _performed(cluster: ControlPlane, openbao: OpenBao, folder: Path, log_format: str) -> Iterator[Performance]:
    home = f"test-{uuid.uuid4().hex[:8]}"
    with (
        set_up(cluster, openbao, home=home, folder=folder) as stage,
        operate(stage, {"level": "debug", "format": log_format}) as operator,
    ):
        yield Performance(play=play(stage, ALL), operator=operator)
