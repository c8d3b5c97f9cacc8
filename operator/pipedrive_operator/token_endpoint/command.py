"""`pipedrive-operator token-endpoint`: reads the command line, reports what is wrong with the mounts, and serves."""

import argparse
import signal
import sys
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from pipedrive_operator.token_endpoint import clients as known
from pipedrive_operator.token_endpoint.clients import Clients
from pipedrive_operator.token_endpoint.reply import EndpointRequest, TokenReply, reply
from pipedrive_operator.token_endpoint.server import TokenServer
from pipedrive_operator.token_endpoint.tokens import Tokens

_COMMAND: Final = "token-endpoint"
_LAST_PORT: Final = 65535
_DESCRIPTION: Final = """\
Serve the access token of a mounted Secret to an OAuth2 client, such as n8n.

The endpoint speaks the client credentials grant (RFC 6749, section 4.4) at POST /token, and answers GET /healthz.
It reads mounted Secrets and nothing else, so it runs beside the workload, without any permissions in the cluster:

  TOKENS/NAME/     the Secret that a PipedriveCredential with oauth2 publishes (access_token, expires_at, ...)
  CLIENTS/NAME     the digest of the secret with which the client NAME authenticates

A Secret that changes is served at the next request.
"""
_EPILOG: Final = """\
make a client:
  pipedrive-operator token-endpoint --new-client acme

exit codes: 0 stopped by a signal, 1 the address cannot be used, 2 wrong usage. docs/n8n.md has a complete example.
"""


def main(arguments: list[str]) -> int:
    """Run the command, and return its exit code."""
    options = _parser().parse_args(arguments)
    if options.new_client is not None:
        sys.stdout.write(_new_client(options.new_client))
        return 0
    return _serve(options.host, options.port, Clients(options.clients), Tokens(options.tokens), options.clients)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"pipedrive-operator {_COMMAND}",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--tokens", type=Path, default=Path("/tokens"), help="the folder with a mounted Secret per client (/tokens)"
    )
    parser.add_argument(
        "--clients", type=Path, default=Path("/clients"), help="the folder with a digest per client (/clients)"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="the address to listen on (127.0.0.1: only the pod itself can connect)"
    )
    parser.add_argument("--port", type=_port, default=8081, help="the port to listen on (8081)")
    parser.add_argument(
        "--new-client", type=_client_id, metavar="NAME", help="print a new secret for a client and its digest, and exit"
    )
    return parser


def _serve(host: str, port: int, clients: Clients, tokens: Tokens, folder: Path) -> int:
    def answer(request: EndpointRequest, now: datetime) -> TokenReply:
        return reply(request, clients=clients, tokens=tokens, now=now)

    try:
        server = TokenServer(host, port, answer)
    except OSError as error:
        _say(f"cannot listen on {host}:{port} ({error.strerror or error}): choose another --host or --port")
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    for problem in [*clients.problems(), *(one for name in _names(folder) for one in tokens.problems(name))]:
        _say(f"warning: {problem}")
    if not _is_loopback(host):
        _say(f"warning: {host} is not a loopback address: tokens cross the network without TLS")
    _say(f"serving POST http://{f'[{host}]' if ':' in host else host}:{server.port}/token")
    with server:
        server.serve_forever()
    return 0


def _stop(*_: object) -> None:
    """End the process at once: `TokenServer.shutdown` would wait while all connections are taken."""
    raise SystemExit(0)


def _names(folder: Path) -> list[str]:
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return [file.name for file in found if file.is_file() and known.is_client_id(file.name)]


def _new_client(name: str) -> str:
    secret = known.new_secret()
    return (
        f"client id:     {name}\n"
        f"client secret: {secret}\n"
        "Enter both in the OAuth2 client; the secret is shown this once. The endpoint needs only its digest:\n"
        f"  kubectl create secret generic token-clients --from-literal={name}={known.digest(secret)}\n"
    )


def _client_id(text: str) -> str:
    if not known.is_client_id(text):
        message = f"{text!r} is not a Kubernetes name: use lower-case letters, digits, and inner dashes or dots"
        raise argparse.ArgumentTypeError(message)
    return text


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= _LAST_PORT):
        message = f"{text!r} is not a port: use a number from 0 to {_LAST_PORT}"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _say(text: str) -> None:
    sys.stderr.write(f"{_COMMAND}: {text}\n")
    sys.stderr.flush()
