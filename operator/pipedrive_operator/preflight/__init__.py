"""Checks whether the operator can work with the API server, each Vault and Pipedrive. Nothing is changed.

Every check runs, whatever the others find, so that a person sees all problems at once.
"""

import asyncio

from pipedrive_operator.adapters.clock import SystemClock
from pipedrive_operator.adapters.pipedrive import PipedriveApi
from pipedrive_operator.config.settings import Settings
from pipedrive_operator.preflight.cluster import check_cluster
from pipedrive_operator.preflight.consent import check_consents
from pipedrive_operator.preflight.finding import Finding, find
from pipedrive_operator.preflight.vault import check_vaults


async def check_everything(settings: Settings) -> list[Finding]:
    """Check the outside systems and the front concurrently, and return all findings."""
    groups = await asyncio.gather(
        check_cluster(settings), check_vaults(settings), _check_pipedrive(settings), check_consents(settings)
    )
    return [*(finding for group in groups for finding in group), *_check_encryption(settings)]


def _check_encryption(settings: Settings) -> list[Finding]:
    """Say which connections are not encrypted; somebody has accepted that, so it is no failure."""
    if not settings.plain_connections:
        return []
    names = ", ".join(settings.plain_connections)
    detail = f"none for {names}: the setting insecure lets tokens travel over plain HTTP. Use https:// in production"
    return [Finding(step="encryption", ok=True, detail=detail)]


async def _check_pipedrive(settings: Settings) -> list[Finding]:
    async with PipedriveApi(settings.pipedrive, SystemClock()) as pipedrive:
        return [await find("Pipedrive", pipedrive.reach, f"{settings.pipedrive.api_url} reached")]
