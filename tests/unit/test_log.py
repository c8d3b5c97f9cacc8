"""The log: one line per message, from the operator and from libraries, and never a token."""

import json
import logging
import sys

import pytest

from pipedrive_operator import log
from pipedrive_operator.config.settings import LogFormat, LogLevel, LogSettings
from pipedrive_operator.core.values.secret_value import SecretValue
from support.token_examples import TOKENS


@pytest.fixture(autouse=True)
def _restore_logging() -> object:
    """Restore the configuration of logging."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:], logging.root.level = handlers, level


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """Return the logged lines."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_lines_of_the_operator_and_of_libraries_have_the_same_format(capsys: pytest.CaptureFixture[str]) -> None:
    """A line has a constant message, and keys with values."""
    log.configure(LogSettings())
    log.get_logger("ours").info("reconciled", credential="crm/acme", count=3)
    logging.getLogger("theirs").warning("it is %s", "late")

    ours, theirs = lines(capsys)

    assert ("reconciled", "crm/acme", 3, "info") == (ours["event"], ours["credential"], ours["count"], ours["level"])
    assert ("it is late", "theirs", "warning") == (theirs["event"], theirs["logger"], theirs["level"])


@pytest.mark.parametrize("library", ["kopf", "kopf.objects", "httpx", "aiohttp.access", "hvac"])
def test_libraries_log_warnings_only_even_at_debug(capsys: pytest.CaptureFixture[str], library: str) -> None:
    """Some log whole objects, including Secrets."""
    log.configure(LogSettings(level=LogLevel.DEBUG))
    logging.getLogger(library).info("a whole object")

    assert [] == lines(capsys)


@pytest.mark.parametrize("token", TOKENS)
def test_anything_that_looks_like_a_token_is_masked(capsys: pytest.CaptureFixture[str], token: str) -> None:
    """This holds for messages, values, nested values and tracebacks."""
    log.configure(LogSettings())
    logger = log.get_logger("ours")
    message = f"got {token}"
    logger.info(message, value=token, nested={"deep": [token]})
    logger.error("failed", exc_info=ValueError(token))
    logging.getLogger("theirs").warning("Authorization: Bearer %s", token)

    assert token not in capsys.readouterr().out


def test_a_secret_value_is_never_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """This holds even if it does not look like a token."""
    log.configure(LogSettings())
    log.get_logger("ours").info("got", value=SecretValue("hush"))

    (line,) = lines(capsys)

    assert "(hidden)" == line["value"]


def test_the_console_format_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """It is not JSON, and has colours only in a terminal."""
    log.configure(LogSettings(format=LogFormat.CONSOLE))
    log.get_logger("ours").info("reconciled", credential="crm/acme")

    output = capsys.readouterr().out

    assert "reconciled" in output
    assert "\x1b" not in output or sys.stdout.isatty()


@pytest.mark.parametrize("parameter", ["code", "state", "key"])
def test_the_secrets_in_the_urls_of_a_consent_are_masked(capsys: pytest.CaptureFixture[str], parameter: str) -> None:
    """A library may log the address of a request."""
    log.configure(LogSettings())
    logging.getLogger("theirs").warning("GET /callback?%s=abc-DEF&other=1", parameter)
    logging.getLogger("theirs").warning("GET /callback?other=1&%s=abc-DEF", parameter)

    shown = capsys.readouterr().out
    assert "abc-DEF" not in shown
    assert "other=1" in shown
