"""Runs the simulator alone: `python -m testbed.pipedrive --help`."""

import asyncio
import json
import signal
import ssl
from pathlib import Path
from typing import Any

import click

from testbed.pipedrive.commands import Commands
from testbed.pipedrive.server import PipedriveSimulator
from testbed.pipedrive.switches import Rotation, Switches

TEACHING = """Run a simulated Pipedrive until interrupted, and print its URL.

One address plays oauth.pipedrive.com, api.pipedrive.com and every company's own host: the authorize page, the
token and revoke endpoints and /v1/users/me.

\b
A seed file is a JSON object; every section may be left out:
  {"switches":  {"rotate": "always", "expires_in": 60},
   "companies": [{"company_id": 1, "domain": "acme"}],
   "users":     [{"company_id": 1, "user_id": 7, "name": "Ada"}],
   "apps":      [{"client_id": "crm", "client_secret": "s3cret",
                  "redirect_uri": "http://127.0.0.1:8080/callback",
                  "scopes": ["base", "deals:full"]}],
   "grants":    [{"client_id": "crm", "company_id": 1, "user_id": 7}],
   "faults":    [{"kind": "drop", "endpoint": "token",
                  "effect": "after", "times": 1}]}

\b
While it runs, change and inspect it under /_simulator/:
  curl URL/_simulator/                       all views and commands
  curl URL/_simulator/ledger                 every call, by digest of token
  curl URL/_simulator/set-switches   -d '{"rotate": "grace"}'
  curl URL/_simulator/add-fault      -d '{"kind": "daily_limit", "retry_after": 60}'
  curl URL/_simulator/clear-faults   -d '{}'
  curl URL/_simulator/advance-clock  -d '{"seconds": 5184000}'
"""


@click.command(help=TEACHING)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=0, show_default=True, help="Port to listen on; 0 picks a free one.")
@click.option("--seed-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="World to start with.")
@click.option(
    "--rotate",
    type=click.Choice([rule.value for rule in Rotation]),
    default=Rotation.NEVER.value,
    show_default=True,
    help="What a refresh does to the refresh token.",
)
@click.option("--expires-in", default=3599, show_default=True, help="Lifetime of an access token in seconds.")
@click.option("--certificate", type=click.Path(exists=True, path_type=Path), help="Serve TLS, with this chain (PEM).")
@click.option("--key", type=click.Path(exists=True, path_type=Path), help="Private key of --certificate (PEM).")
def main(
    *,
    host: str,
    port: int,
    seed_file: Path | None,
    rotate: str,
    expires_in: int,
    certificate: Path | None,
    key: Path | None,
) -> None:
    """Run the simulator."""
    tls = None
    if certificate is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate, key)
    switches = Switches(rotate=Rotation(rotate), expires_in=expires_in)
    simulator = PipedriveSimulator(host=host, port=port, switches=switches, tls=tls)
    asyncio.run(_serve(simulator, json.loads(seed_file.read_text()) if seed_file else {}))


async def _serve(simulator: PipedriveSimulator, seed: dict[str, Any]) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with simulator:
        Commands(simulator)["seed"](**seed)
        click.echo(simulator.url)
        await stopped.wait()


if __name__ == "__main__":
    main()
