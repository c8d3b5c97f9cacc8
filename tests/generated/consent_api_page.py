"""Generates docs/api-consent.md, the reference of the fields of PipedriveConsent."""

from pathlib import Path

from generated.api_page import reference
from pipedrive_operator.crd import consent_definition

PATH = Path(__file__).parents[2] / "docs" / "api-consent.md"


def text() -> str:
    """Return the content of the page."""
    return reference(consent_definition()["spec"])
