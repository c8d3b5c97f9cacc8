"""TLS contexts: the rules by which a certificate is accepted."""

import ssl

import pytest

from pipedrive_operator.adapters.http.tls import new_context


@pytest.mark.parametrize("trusts_public", [True, False])
def test_the_rules_are_the_same_on_every_python(*, trusts_public: bool) -> None:
    """Python 3.13 sets VERIFY_X509_STRICT in its default contexts, which refuses what many authorities issue."""
    context = new_context(trusts_public=trusts_public)

    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_a_strict_default_is_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.13 has one; this test simulates it on every version."""

    def strict(**_: object) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr("httpx.create_ssl_context", strict)

    assert not new_context(trusts_public=True).verify_flags & ssl.VERIFY_X509_STRICT
