"""What `ports.Vault` promises, kept by the fake and by OpenBao alike."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from contracts.vault import FakedVault, VaultPart, real_vault
from contracts.wire import Loss
from pipedrive_operator.core.grant.document import OPERATOR, VaultLocation
from pipedrive_operator.core.values.errors import CheckAndSetConflict, VaultDenied, VaultUnavailable


@pytest.fixture(params=["fake", "real"])
async def part(request: pytest.FixtureRequest, vault_prefix: str, tmp_path: Path) -> AsyncIterator[VaultPart]:
    """Arrange each part in turn."""
    location = VaultLocation(connection="default", mount="secret", path=f"{vault_prefix}/acme")
    if request.param == "fake":
        yield FakedVault(location)
        return
    async with real_vault(request.getfixturevalue("openbao"), location, tmp_path) as real:
        yield real


async def test_what_was_never_written_is_none(part: VaultPart) -> None:
    """And not an error."""
    assert await part.port.read(part.location, OPERATOR) is None


async def test_what_a_person_wrote_is_read_with_its_version_and_time(part: VaultPart) -> None:
    """The newest version alone."""
    part.put(token="old")
    before = part.now()
    part.put(token="new", note="mine")

    document = await part.port.read(part.location, OPERATOR)

    assert document is not None
    assert (document.location, document.version) == (part.location, 2)
    assert document.values == {"token": "new", "note": "mine"}
    assert document.created_at.tzinfo is not None
    assert before - timedelta(milliseconds=1) <= document.created_at <= part.now()


async def test_what_was_written_is_read_back_as_it_was(part: VaultPart) -> None:
    """The version that was returned, and values of every kind."""
    values = {"text": "a\nb ☃", "number": 3, "nothing": None, "list": ["a"], "object": {"a": True}}

    version = await part.port.write(part.location, values, OPERATOR, cas=0)

    document = await part.port.read(part.location, OPERATOR)
    assert document is not None
    assert (document.version, document.values) == (version, values) == (1, values)


async def test_a_write_replaces_every_value(part: VaultPart) -> None:
    """It does not merge."""
    part.put(token="old", note="mine")

    assert await part.port.write(part.location, {"token": "new"}, OPERATOR, cas=1) == 2

    document = await part.port.read(part.location, OPERATOR)
    assert document is not None
    assert document.values == {"token": "new"}


@pytest.mark.parametrize("cas", [0, 1, 3])
async def test_a_write_against_another_version_conflicts_and_changes_nothing(part: VaultPart, cas: int) -> None:
    """Be it too old or too new."""
    part.put(token="first")
    part.put(token="second")

    with pytest.raises(CheckAndSetConflict):
        await part.port.write(part.location, {"token": "third"}, OPERATOR, cas=cas)

    document = await part.port.read(part.location, OPERATOR)
    assert document is not None
    assert (document.version, document.values) == (2, {"token": "second"})


async def test_a_write_against_a_version_where_there_is_none_conflicts(part: VaultPart) -> None:
    """And leaves nothing behind."""
    with pytest.raises(CheckAndSetConflict):
        await part.port.write(part.location, {"token": "first"}, OPERATOR, cas=1)

    assert await part.port.read(part.location, OPERATOR) is None


async def test_of_many_writes_against_one_version_one_lands(part: VaultPart) -> None:
    """The others conflict."""
    writes = (part.port.write(part.location, {"number": number}, OPERATOR, cas=0) for number in range(20))

    outcomes = await asyncio.gather(*writes, return_exceptions=True)

    assert outcomes.count(1) == 1
    assert sum(isinstance(outcome, CheckAndSetConflict) for outcome in outcomes) == 19


async def test_a_deleted_version_has_no_values_and_counts_all_the_same(part: VaultPart) -> None:
    """The next is written against it, and not against none."""
    part.put(token="first")
    part.put(token="second")
    part.delete()

    document = await part.port.read(part.location, OPERATOR)

    assert document is not None
    assert (document.version, document.values) == (2, {})
    with pytest.raises(CheckAndSetConflict):
        await part.port.write(part.location, {"token": "third"}, OPERATOR, cas=0)
    assert await part.port.write(part.location, {"token": "third"}, OPERATOR, cas=2) == 3


async def test_a_write_of_which_the_request_is_lost_changes_nothing(part: VaultPart) -> None:
    """It is told as unavailable."""
    part.put(token="first")
    part.lose(Loss.REQUESTS)

    with pytest.raises(VaultUnavailable):
        await part.port.write(part.location, {"token": "second"}, OPERATOR, cas=1)

    part.heal()
    document = await part.port.read(part.location, OPERATOR)
    assert document is not None
    assert (document.version, document.values) == (1, {"token": "first"})


async def test_a_write_of_which_the_answer_is_lost_has_landed_once(part: VaultPart) -> None:
    """It is told as unavailable, just as one that has not; and the same write again conflicts with itself."""
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


async def test_a_conflict_of_which_the_answer_is_lost_is_unavailable(part: VaultPart) -> None:
    """Who is told nothing cannot know."""
    part.put(token="first")
    await part.port.read(part.location, OPERATOR)
    part.lose(Loss.ANSWERS)

    with pytest.raises(VaultUnavailable):
        await part.port.write(part.location, {"token": "second"}, OPERATOR, cas=0)


@pytest.mark.parametrize("loss", [Loss.REQUESTS, Loss.ANSWERS])
async def test_a_lost_read_is_unavailable(part: VaultPart, loss: Loss) -> None:
    """It is not none."""
    part.put(token="first")
    await part.port.read(part.location, OPERATOR)
    part.lose(loss)

    with pytest.raises(VaultUnavailable):
        await part.port.read(part.location, OPERATOR)


async def test_a_sealed_vault_is_unavailable_and_forgets_nothing(part: VaultPart) -> None:
    """Reads and writes, also of what is absent."""
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


async def test_a_denied_read_is_no_absence(part: VaultPart) -> None:
    """Nor is Vault unavailable for it."""
    part.put(token="first")
    part.deny("read")

    with pytest.raises(VaultDenied):
        await part.port.read(part.location, OPERATOR)


@pytest.mark.parametrize("cas", [0, 1])
async def test_a_denied_write_is_no_conflict_and_changes_nothing(part: VaultPart, cas: int) -> None:
    """Permission comes before check-and-set."""
    part.put(token="first")
    part.deny("create", "update")

    with pytest.raises(VaultDenied):
        await part.port.write(part.location, {"token": "second"}, OPERATOR, cas=cas)

    document = await part.port.read(part.location, OPERATOR)
    assert document is not None
    assert (document.version, document.values) == (1, {"token": "first"})


async def test_what_is_allowed_again_is_served_again(part: VaultPart) -> None:
    """A denial does not last longer than its policy."""
    part.put(token="first")
    part.deny("create", "update")
    with pytest.raises(VaultDenied):
        await part.port.write(part.location, {"token": "second"}, OPERATOR, cas=1)

    part.heal()

    assert await part.port.write(part.location, {"token": "second"}, OPERATOR, cas=1) == 2
