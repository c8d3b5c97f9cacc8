"""Reports unexpected errors between Pipedrive's answer and Vault's acknowledgement, which must not lose a grant."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pipedrive_operator.core.values.errors import GrantUnstored, OperatorError, Trouble, VaultUnavailable

FAILED_UNEXPECTEDLY: Final = "The refresh failed unexpectedly: see the operator's log"


@contextmanager
def unexpected_errors_reported() -> Iterator[None]:
    """Report an unexpected error and continue: the refreshed grant must not be lost because of it."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  any error is reported, and none may end the storing
        _report(error)


def as_trouble(error: Exception) -> Trouble:
    """Return what the status reports about a failure to store; an unexpected error is logged as well."""
    if isinstance(error, Trouble):
        return error
    if isinstance(error, OperatorError):  # the API server is down while the escrow is read, or the Lease is lost
        return GrantUnstored(str(error))
    _report(error)
    return VaultUnavailable("storing failed unexpectedly; see the operator's log")


def _report(error: Exception) -> None:
    context = {"message": "storing a refreshed grant failed unexpectedly, and is tried again", "exception": error}
    asyncio.get_running_loop().call_exception_handler(context)
