"""Pipedrive over httpx, the OAuth2 request from authlib; every status code ends here and becomes one of our errors."""

from pipedrive_operator.adapters.pipedrive.client import PipedriveApi

__all__ = ["PipedriveApi"]
