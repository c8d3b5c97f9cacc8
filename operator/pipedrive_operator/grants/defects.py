"""Errors that nobody foresaw, between Pipedrive's answer and Vault's acknowledgement: reported, and survived."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from pipedrive_operator.core.values.errors import Trouble, VaultUnavailable


@contextmanager
def reported() -> Iterator[None]:
    """Report a defect of ours, and go on: what was won must not be lost for it."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  as it says
        _report(error)


def _report(error: Exception) -> None:
    context = {"message": "storing what a refresh has won failed unexpectedly, and is tried again", "exception": error}
    asyncio.get_running_loop().call_exception_handler(context)


def as_trouble(error: Exception) -> Trouble:
    """Return what the status is to tell of a failure to store; a defect of ours is reported besides."""
    if isinstance(error, Trouble):
        return error
    _report(error)
    return VaultUnavailable("the operator's log says where it failed")
