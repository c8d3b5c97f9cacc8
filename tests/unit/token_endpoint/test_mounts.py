"""What the token endpoint reads: mounted tokens and client digests."""

import os
from pathlib import Path
from typing import Any

import pytest

from pipedrive_operator.token_endpoint.clients import Clients, digest, new_secret
from pipedrive_operator.token_endpoint.tokens import LARGEST, Tokens


def project(mount: Path, version: str, **values: str) -> None:
    """Write a mounted Secret as the kubelet does: a folder for the version, and the link `..data` to it."""
    folder = mount / f"..{version}"
    folder.mkdir(parents=True)
    for key, value in values.items():
        (folder / key).write_text(value)
        if not (mount / key).is_symlink():
            (mount / key).symlink_to(f"..data/{key}")
    link = mount / "..new"
    link.symlink_to(folder.name)
    link.rename(mount / "..data")


def test_a_changed_secret_is_served_at_the_next_read(tmp_path: Path) -> None:
    """Nothing is kept between two requests."""
    tokens = Tokens(tmp_path)
    project(tmp_path / "acme", "1", access_token="one", expires_at="2026-03-04T13:00:00Z")
    first = tokens.read("acme")
    project(tmp_path / "acme", "2", access_token="two", expires_at="2026-03-04T14:00:00Z")
    second = tokens.read("acme")

    assert first is not None
    assert second is not None
    assert ("one", 13, "two", 14) == (
        first.access_token,
        first.expires_at.hour,
        second.access_token,
        second.expires_at.hour,
    )


def test_a_token_is_never_read_with_the_expiry_of_another_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kubelet may switch to the next version between two reads."""
    project(tmp_path / "acme", "1", access_token="one", expires_at="2026-03-04T13:00:00Z")
    opened: list[Path] = []
    plain = Path.open

    def switches(file: Path, *arguments: Any, **options: Any) -> object:
        opened.append(file)
        if len(opened) == 1:
            project(tmp_path / "acme", "2", access_token="two", expires_at="2026-03-04T14:00:00Z")
        return plain(file, *arguments, **options)

    monkeypatch.setattr(Path, "open", switches)
    found = Tokens(tmp_path).read("acme")

    assert found is not None
    assert ("two", 14) == (found.access_token, found.expires_at.hour)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * (LARGEST + 1)], ids=["not UTF-8", "too large"])
def test_a_file_that_is_not_text_counts_as_absent(tmp_path: Path, content: bytes) -> None:
    """A workload's other Secrets may be mounted there by mistake."""
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "access_token").write_bytes(content)
    (tmp_path / "acme" / "expires_at").write_text("2026-03-04T13:00:00Z")

    assert Tokens(tmp_path).read("acme") is None


def test_problems_of_the_mounts_are_reported(tmp_path: Path) -> None:
    """When the endpoint starts, since that is when people read its log."""
    clients, tokens = tmp_path / "clients", tmp_path / "tokens"

    assert ["is not a folder" in problem for problem in Clients(clients).problems()] == [True]
    clients.mkdir()
    assert ["has no clients" in problem for problem in Clients(clients).problems()] == [True]
    (clients / "acme").write_text("password")
    assert ["--new-client acme" in problem for problem in Clients(clients).problems()] == [True]
    (clients / "acme").write_text(digest("secret"))
    assert [] == Clients(clients).problems()
    assert ["mount the credential's Secret" in problem for problem in Tokens(tokens).problems("acme")] == [True]
    (tokens / "acme").mkdir(parents=True)
    assert ["access_token and expires_at" in problem for problem in Tokens(tokens).problems("acme")] == [True]


def test_files_that_may_not_be_read_are_reported_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The endpoint does not run as root, and some volumes have the mode 0400: new digests would not help."""
    clients, tokens = tmp_path / "clients", tmp_path / "tokens"
    for folder, name in ((clients, "acme"), (tokens / "acme", "access_token")):
        folder.mkdir(parents=True)
        (folder / name).write_text("x")
    monkeypatch.setattr(os, "access", lambda *_: False)

    (client,) = Clients(clients).problems()
    (token,) = Tokens(tokens).problems("acme")

    assert f"{clients / 'acme'} cannot be read" in client
    assert f"{tokens / 'acme' / 'access_token'} cannot be read" in token
    assert "defaultMode" in token


def test_a_new_secret_has_256_random_bits() -> None:
    """Therefore its plain digest is safe."""
    assert 64 == len(new_secret())
    assert new_secret() != new_secret()
    assert digest("secret") != digest("Secret")
