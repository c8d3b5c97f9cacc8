"""Finding the cause of a failed connection inside the errors of the libraries."""

import itertools
import ssl

import httpx

from pipedrive_operator.adapters.http.causes import cause_chain, caused_by, is_about_tls


def caused(*chain: BaseException) -> BaseException:
    """Chain errors as libraries do, the outermost first."""
    for error, cause in itertools.pairwise(chain):
        error.__cause__ = cause
    return chain[0]


def test_a_chain_follows_causes_contexts_and_the_first_of_a_group() -> None:
    """A connection that was tried over IPv6 and IPv4 fails with a group."""
    root, other = ConnectionRefusedError(), OSError()
    group = ExceptionGroup("both", [root, other])
    outer = caused(httpx.ConnectError(""), group)

    assert list(cause_chain(outer)) == [outer, group, root]


def test_an_error_raised_while_another_was_handled_is_followed_too() -> None:
    """Libraries do not always write `from`."""
    outer = httpx.ConnectError("")
    outer.__context__ = ssl.SSLError()

    assert caused_by(outer, ssl.SSLError) is outer.__context__


def test_the_kind_that_is_not_in_a_chain_is_none() -> None:
    """Absent is None."""
    assert caused_by(caused(httpx.ConnectError(""), OSError()), ssl.SSLError) is None


def test_only_tls_errors_are_about_tls() -> None:
    """Reading certificates again helps against no other error."""
    assert is_about_tls(caused(httpx.ConnectError(""), ssl.SSLCertVerificationError()))
    assert not is_about_tls(caused(httpx.ConnectError(""), ConnectionRefusedError()))
