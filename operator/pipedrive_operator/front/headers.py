"""The headers of every response: what a browser may do with a page of the front. No page is built here."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit


def security_headers(oauth_url: str, api_domains: Sequence[str]) -> Mapping[str, str]:
    """Return the headers for every response.

    `form-action` must list each origin that the form's response redirects to, because browsers apply it to the whole
    chain of redirects (https://www.w3.org/TR/CSP3/#directive-form-action). With `no-referrer`, the key in the address
    of a page is sent to no other site.
    """
    redirects = " ".join(dict.fromkeys((_origin(oauth_url), *api_domains)))
    policy = (
        "default-src 'none'",
        "style-src 'self'",
        f"form-action 'self' {redirects}",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
    return {
        "Content-Security-Policy": "; ".join(policy),
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Strict-Transport-Security": "max-age=31536000",
        "Server": "pipedrive-operator",
    }


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
