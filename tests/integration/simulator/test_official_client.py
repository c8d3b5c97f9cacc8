"""The vendor's own Node.js client works with the simulator, which checks the simulator independently."""

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from integration.simulator.acme import REDIRECT_URI, Acme
from testbed.pipedrive import Rotation

SCRIPT = Path(__file__).with_name("official_client.cjs")
CLIENT_FOLDER = os.environ.get("PIPEDRIVE_NODE_CLIENT", "")
PACKAGE = Path(CLIENT_FOLDER, "node_modules", "pipedrive")

pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js (`node` on the PATH)"),
    pytest.mark.skipif(
        not CLIENT_FOLDER or not PACKAGE.is_dir(),
        reason="needs PIPEDRIVE_NODE_CLIENT: a folder in which `npm install pipedrive` was run",
    ),
]


@pytest.mark.parametrize("rotate", [Rotation.NEVER, Rotation.ALWAYS])
async def test_the_official_client_works(acme: Acme, rotate: Rotation) -> None:
    """It exchanges, identifies by both credentials, refreshes and revokes, and is refused where it should be."""
    acme.simulator.switches.rotate = rotate

    seen = await drive(acme)

    assert seen["me"] == seen["meByApiToken"]
    assert (seen["me"]["id"], seen["me"]["company_domain"]) == (acme.user.id, "acme")
    assert seen["basePath"] == f"{acme.simulator.url}/api/v1"
    same_token = seen["issued"]["refresh_token"] == seen["refreshed"]["refresh_token"]
    assert same_token == (rotate is Rotation.NEVER)
    assert seen["outcomes"] == ["Invalid token: access_token is invalid", "accepted", "invalid_grant"]
    assert acme.simulator.ledger.double_spent() == []


async def drive(acme: Acme) -> Any:
    """Run the client, and return what it observed."""
    app = acme.app
    process = await asyncio.create_subprocess_exec(
        "node",
        str(SCRIPT),
        *(acme.simulator.url, app.client_id, app.client_secret, REDIRECT_URI),
        *(acme.consent(), acme.user.api_token),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "PIPEDRIVE_NODE_CLIENT": CLIENT_FOLDER},
    )
    output, errors = await asyncio.wait_for(process.communicate(), timeout=30)
    assert process.returncode == 0, errors.decode()
    return json.loads(output)
