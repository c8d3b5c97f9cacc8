"""Hides what looks like a token in any text: the last defence in front of everything that leaves the operator.

It must not be the first one: a secret value has a type that does not print (`secret_value`), and no message quotes what
Vault holds. Log lines, conditions, Events, the labels of metrics and the lines of `check` and of the probes all pass
through here.
"""

import re
from typing import Final

from pipedrive_operator.core.values.secret_value import HIDDEN
from pipedrive_operator.core.values.text import shorten, without_control_characters

LONGEST_MESSAGE: Final = 4096
"""In characters. The API server refuses a whole status if one message has more than 32,768."""
_TOKEN_LIKE: Final = re.compile(
    r"v1u:[A-Za-z0-9+/=:_-]+"  # Pipedrive access tokens
    r"|\b\d+:\d+:[0-9a-f]{40}\b"  # Pipedrive refresh tokens and codes
    r"|\b[0-9a-f]{40}\b"  # Pipedrive API tokens and client secrets
    r"|\b(?:hv[sbr]|[sbr])\.[A-Za-z0-9_-]{20,}"  # Vault tokens
    # JSON Web Tokens. Only a run of their characters that two dots follow is searched for their beginning, and only
    # once: without that, a text full of beginnings would take seconds.
    r"|(?<![A-Za-z0-9_-])(?=[A-Za-z0-9_-]++\.[A-Za-z0-9_-]++\.)(?:[A-Za-z0-9_-]*-)?"
    r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
    r"|(?<=Bearer )\S+|(?<=Basic )\S+"
    r"|(?:(?<=client_secret=)|(?<=refresh_token=)|(?<=access_token=)|(?<=api_token=))"
    r"(?!\.{3}|-(?:[\s`]|$))[^\s&]+"  # but not the `api_token=...` and `refresh_token=-` of instructions
    r"|\b\d+\.\d+\.[0-9a-f]{40,44}\b"  # Pipedrive authorization codes
    r"|(?<=[?&]code=)[^\s&]+|(?<=[?&]state=)[^\s&]+|(?<=[?&]key=)[^\s&]+"  # the URLs of a consent
    r"|(?<=://)[^\s/@]+(?=@)"  # the user and password of an address
)


def mask(text: str) -> str:
    """Return a text in which everything that looks like a token is hidden."""
    return _TOKEN_LIKE.sub(HIDDEN, text)


def reportable(text: str) -> str:
    """Return a message as a condition or an Event may show it: printable, on one line, masked, and not too long.

    A message may quote what others have written. What is replaced here could hide a token from the mask.
    """
    return shorten(mask(without_control_characters(text[: 2 * LONGEST_MESSAGE])), LONGEST_MESSAGE)
