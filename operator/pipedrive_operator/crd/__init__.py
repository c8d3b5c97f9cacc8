"""The CustomResourceDefinition of PipedriveCredential, generated from the types. Nothing is sent to a cluster here."""

from pipedrive_operator.crd.definition import custom_resource_definition, resource_schema

__all__ = ["custom_resource_definition", "resource_schema"]
