"""The log: structured lines, written by a handler of the standard library because kopf, hvac and aiohttp log there.

A secret value has a type that does not print. The masking here is the last defence, against what a library might log.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog
from structlog.typing import Processor

from pipedrive_operator.config.settings import LogFormat, LogSettings
from pipedrive_operator.core.values.mask import mask

_QUIET: Final = ("kopf", "httpx", "httpcore", "hvac", "aiohttp", "asyncio", "kubernetes", "urllib3")
"""Libraries that log whole objects or every request at levels below WARNING."""


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger. Use constant messages, and pass what varies as keyword arguments."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def configure(settings: LogSettings) -> None:
    """Write everything that the operator and its libraries log to standard output, one line per message."""
    shared: list[Processor] = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        mask_secrets,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(settings.format)],
        )
    )
    logging.basicConfig(handlers=[handler], level=settings.level.upper(), force=True)
    for library in _QUIET:
        logging.getLogger(library).setLevel(logging.WARNING)


def mask_secrets(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask everything in a log line that looks like a token, in nested values too."""
    return {key: _masked(value) for key, value in line.items()}


def _masked(value: object) -> object:
    match value:
        case str():
            return mask(value)
        case dict():
            return {key: _masked(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_masked(item) for item in value]
        case bool() | int() | float() | None:
            return value
        case _:
            return mask(str(value))


def _renderer(log_format: LogFormat) -> Processor:
    match log_format:
        case LogFormat.JSON:
            return structlog.processors.JSONRenderer(sort_keys=True)
        case LogFormat.CONSOLE:
            return structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
