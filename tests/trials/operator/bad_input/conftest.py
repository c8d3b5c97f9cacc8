"""One operator for all tests of this folder: every trouble happens at the same time, and tests read the record."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.troubles import of_pipedrive, of_the_cluster, of_the_spec, of_vault
from support.troubles.real_parts import operate, set_up
from support.troubles.runner import Record, run_all
from testbed.control_plane import ControlPlane
from testbed.openbao import OpenBao
from testbed.operator_process import OperatorProcess

ALL = (*of_the_spec.TROUBLES, *of_vault.TROUBLES, *of_pipedrive.TROUBLES, *of_the_cluster.TROUBLES)


@dataclass(frozen=True, kw_only=True)
class RecordedRun:
    """What was recorded, and the operator, which still runs."""

    record: Record
    operator: OperatorProcess


RunTroubles = Callable[[str], RecordedRun]


@pytest.fixture(scope="module")
def run_troubles(
    control_plane: ControlPlane, crd: None, openbao: OpenBao, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunTroubles]:
    """Cause and fix all troubles, once for each format of the log."""
    assert crd is None
    with ExitStack() as stack:
        runs: dict[str, RecordedRun] = {}

        def run_once(log_format: str) -> RecordedRun:
            if log_format not in runs:
                folder = tmp_path_factory.mktemp(f"bad-input-{log_format}")
                runs[log_format] = stack.enter_context(_run_troubles(control_plane, openbao, folder, log_format))
            return runs[log_format]

        yield run_once


@pytest.fixture(scope="module")
def troubles(run_troubles: RunTroubles) -> Record:
    """Return everything that was recorded, in either format of the log."""
    return run_troubles("json").record


@contextmanager
def _run_troubles(cluster: ControlPlane, openbao: OpenBao, folder: Path, log_format: str) -> Iterator[RecordedRun]:
    home = f"test-{uuid.uuid4().hex[:8]}"
    with (
        set_up(cluster, openbao, home=home, folder=folder) as parts,
        operate(parts, {"level": "debug", "format": log_format}) as operator,
    ):
        yield RecordedRun(record=run_all(parts, ALL), operator=operator)
