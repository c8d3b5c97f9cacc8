"""The CustomResourceDefinitions, generated from the types. Nothing is sent to a cluster here."""

from pipedrive_operator.crd.definition import (
    consent_definition,
    consent_schema,
    custom_resource_definition,
    resource_schema,
)

__all__ = ["consent_definition", "consent_schema", "custom_resource_definition", "resource_schema"]
