"""The contract of `ports.Vault`, which the fake and the adapter with a real OpenBao fulfil alike."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from contracts.vault_contract import FakedVault, VaultPart, real_vault
from contracts.wire import Loss
from pipedrive_operator.core.grant.document import OPERATOR, VaultLocation
from pipedrive_operator.core.values.errors import CheckAndSetConflict, VaultDenied, VaultUnavailable


@pytest.fixture(params=["fake", "real"])
async def part(request: pytest.FixtureRequest, vault_prefix: str, tmp_path: Path) -> AsyncIterator[VaultPart]:
    """Provide the fake, then the adapter."""
    location = VaultLocation(connection="default", mount="secret", path=f"{vault_prefix}/acme")
    if request.param == "fake":
        yield FakedVault(location)
        return
    async with real_vault(request.getfixturevalue("openbao"), location, tmp_path) as real:
        yield real


async def test_a_document_that_was_never_written_is_none(part: VaultPart) -> None:
    """It is not an error."""
    assert await part.port.read(part.location, OPERATOR) is None


async def test_a_document_is_read_with_its_version_and_time(part: VaultPart) -> None:
    """Only the newest version is returned."""
    part.put(token="old")
    before = part.now()
    part.put(token="new", note="mine")

    document = await part.port.read(part.location, OPERATOR)

    assert document is not None
    assert (document.location, document.version) == (part.location, 2)
    assert document.values == {"token": "new", "note": "mine"}
    assert document.created_at.tzinfo is not None
    assert before - timedelta(milliseconds=1) <= document.created_at <= part.now()


async def test_a_written_document_is_read_back_unchanged(part: VaultPart) -> None:
    """It has the returned version, and values of every JSON type."""
    values = {"text": "a\nb ☃", "number": 3, "nothing": None, "list": ["a"], "object": {"a": True}}

    version = await part.port.write(part.location, values, OPERATOR, cas=0)

    document = await part.port.read(part.location, OPERATOR)
    assert document is not None
    assert (document.version, document.values) == (version, values) == (1, values)


async def test_a_write_replaces_every_value(part: VaultPart) -> None:
    """Values are not merged."""
    part.put(token="old", note="mine")

    assert await part.port.write(part.location, {"token": "new"}, OPERATOR, cas=1) == 2

    document = await part.port.read(part.location, OPERATOR)
    assert document is not None
    assert document.values == {"token": "new"}


@pytest.mark.parametrize("cas", [0, 1, 3])
async def test_a_write_against_another_version_conflicts_and_changes_nothing(part: VaultPart, cas: int) -> None:
    """The named version is too old or too new."""
    part.put(token="first")
    part.put(token="second")

    with pytest.raises(CheckAndSetConflict):
        await part.port.write(part.location, {"token": "third"}, OPERATOR, cas=cas)

    document = await part.port.read(part.location, OPERATOR)
    assert document is not None
    assert (document.version, document.values) == (2, {"token": "second"})


async def test_a_write_against_a_version_of_a_missing_document_conflicts(part: VaultPart) -> None:
    """It creates nothing."""
    with pytest.raises(CheckAndSetConflict):
        await part.port.write(part.location, {"token": "first"}, OPERATOR, cas=1)

    assert await part.port.read(part.location, OPERATOR) is None


async def test_of_many_writes_against_one_version_one_succeeds(part: VaultPart) -> None:
    """All others conflict."""
    writes = (part.port.write(part.location, {"number": number}, OPERATOR, cas=0) for number in range(20))

    outcomes = await asyncio.gather(*writes, return_exceptions=True)

    assert outcomes.count(1) == 1
    assert sum(isinstance(outcome, CheckAndSetConflict) for outcome in outcomes) == 19


async def test_a_deleted_version_has_no_values_but_still_counts(part: VaultPart) -> None:
    """The next version is written against it."""
    part.put(token="first")
    part.put(token="second")
    part.delete()

    document = await part.port.read(part.location, OPERATOR)

    assert document is not None
    assert (document.version, document.values) == (2, {})
    with pytest.raises(CheckAndSetConflict):
        await part.port.write(part.location, {"token": "third"}, OPERATOR, cas=0)
    assert await part.port.write(part.location, {"token": "third"}, OPERATOR, cas=2) == 3


async def test_a_write_whose_request_is_lost_changes_nothing(part: VaultPart) -> None:
    """Vault is reported as unavailable."""
    part.put(token="first")
    part.lose(Loss.REQUESTS)

    with pytest.raises(VaultUnavailable):
        await part.port.write(part.location, {"token": "second"}, OPERATOR, cas=1)

    part.heal()
    document = await part.port.read(part.location, OPERATOR)
    assert document is not None
    assert (document.version, document.values) == (1, {"token": "first"})


async def test_a_write_whose_response_is_lost_was_stored_once(part: VaultPart) -> None:
    """Vault is reported as unavailable all the same, and a repetition of the write conflicts with it."""
    part.put(token="first")
    await part.port.read(part.location, OPERATOR)
    part.lose(Loss.ANSWERS)

    with pytest.raises(VaultUnavailable):
        await part.port.write(part.location, {"token": "second"}, OPERATOR, cas=1)

    part.heal()
    document = await part.port.read(part.location, OPERATOR)
    assert document is not None
    assert (document.version, document.values) == (2, {"token": "second"})
    with pytest.raises(CheckAndSetConflict):
        await part.port.write(part.location, {"token": "second"}, OPERATOR, cas=1)


async def test_a_conflict_whose_response_is_lost_is_unavailable(part: VaultPart) -> None:
    """Without a response the caller cannot know."""
    part.put(token="first")
    await part.port.read(part.location, OPERATOR)
    part.lose(Loss.ANSWERS)

    with pytest.raises(VaultUnavailable):
        await part.port.write(part.location, {"token": "second"}, OPERATOR, cas=0)


@pytest.mark.parametrize("loss", [Loss.REQUESTS, Loss.ANSWERS])
async def test_a_lost_read_is_unavailable(part: VaultPart, loss: Loss) -> None:
    """It is not reported as a missing document."""
    part.put(token="first")
    await part.port.read(part.location, OPERATOR)
    part.lose(loss)

    with pytest.raises(VaultUnavailable):
        await part.port.read(part.location, OPERATOR)


async def test_a_sealed_vault_is_unavailable_and_loses_nothing(part: VaultPart) -> None:
    """Reads and writes both fail."""
    part.put(token="first")
    part.seal()

    with pytest.raises(VaultUnavailable):
        await part.port.read(part.location, OPERATOR)
    with pytest.raises(VaultUnavailable):
        await part.port.write(part.location, {"token": "second"}, OPERATOR, cas=1)

    part.heal()
    document = await part.port.read(part.location, OPERATOR)
    assert document is not None
    assert (document.version, document.values) == (1, {"token": "first"})
    assert await part.port.write(part.location, {"token": "second"}, OPERATOR, cas=1) == 2


async def test_a_denied_read_is_not_a_missing_document(part: VaultPart) -> None:
    """Vault is not reported as unavailable either."""
    part.put(token="first")
    part.deny("read")

    with pytest.raises(VaultDenied):
        await part.port.read(part.location, OPERATOR)


@pytest.mark.parametrize("cas", [0, 1])
async def test_a_denied_write_is_not_a_conflict_and_changes_nothing(part: VaultPart, cas: int) -> None:
    """Vault checks the policy before the version."""
    part.put(token="first")
    part.deny("create", "update")

    with pytest.raises(VaultDenied):
        await part.port.write(part.location, {"token": "second"}, OPERATOR, cas=cas)

    document = await part.port.read(part.location, OPERATOR)
    assert document is not None
    assert (document.version, document.values) == (1, {"token": "first"})


async def test_a_path_that_is_allowed_again_can_be_written_again(part: VaultPart) -> None:
    """A denial does not outlast the policy."""
    part.put(token="first")
    part.deny("create", "update")
    with pytest.raises(VaultDenied):
        await part.port.write(part.location, {"token": "second"}, OPERATOR, cas=1)

    part.heal()

    assert await part.port.write(part.location, {"token": "second"}, OPERATOR, cas=1) == 2
