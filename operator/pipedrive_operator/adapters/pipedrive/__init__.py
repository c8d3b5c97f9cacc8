"""Pipedrive over HTTP. No status code leaves this package: each becomes one of the operator's errors."""

from pipedrive_operator.adapters.pipedrive.client import PipedriveApi

__all__ = ["PipedriveApi"]
