"""Keeps libraries from loading what the operator never uses, for a smaller process and a shorter start.

Each of the parts is optional for the library that would load it, so nothing of a library is replaced or changed.
"""

import importlib.util
import sys
import warnings
from typing import Any, cast

_loaded = cast("dict[str, Any]", sys.modules)
"""A `None` in `sys.modules` makes an import fail (Python language reference, section 5.3.1)."""


def leave_out_unused_parts() -> None:
    """Leave them out of all later imports. Call this before anything else is imported."""
    _leave_out_synchronous_kubernetes()
    _leave_out_character_detection()
    # structlog would print tracebacks with it. The image does not have it.
    _loaded.setdefault("rich", None)


def leave_out_openssl() -> None:
    """Keep `hashlib`, `hmac` and `http.client` from loading OpenSSL, which takes 5 of the token endpoint's 23 MiB.

    The token endpoint uses SHA-256 and no TLS. For all three modules OpenSSL is optional: without it, Python's own
    SHA-256 is used.
    """
    for name in ("ssl", "_hashlib"):
        _loaded.setdefault(name, None)


def _leave_out_synchronous_kubernetes() -> None:
    """Keep `kubernetes.aio` from loading the synchronous client, and with it OAuth 1, WebSockets and a process pool.

    The package `kubernetes` only holds the two clients, but its `__init__` imports the synchronous one. Here the
    package is entered without running that. kopf supports objects of that client only if it can be imported.
    """
    package = importlib.util.find_spec("kubernetes")
    if package is not None and "kubernetes" not in _loaded:
        _loaded["kubernetes"] = importlib.util.module_from_spec(package)
        _loaded["kubernetes.client"] = None


def _leave_out_character_detection() -> None:
    """Keep `requests` from loading tables of encodings. hvac imports it, and the operator sends no request with it."""
    warnings.filterwarnings("ignore", message="Unable to find acceptable character detection dependency")
    _loaded.setdefault("charset_normalizer", None)
