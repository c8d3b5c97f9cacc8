"""The CustomResourceDefinition of PipedriveCredential, made from the typed models. Nothing is applied here."""

from pipedrive_operator.crd.definition import crd

__all__ = ["crd"]
