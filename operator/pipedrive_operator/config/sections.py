"""What the sections of the settings have in common: their form, and how one names a secret instead of holding it."""

from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from pipedrive_operator.core.resource.shapes import DataKey, Duration, ObjectName

PositiveDuration = Annotated[Duration, Field(gt=timedelta(0))]


class Section(BaseModel):
    """A section: frozen, in camel case, and without a name that is not known."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class SecretReference(Section):
    """A value of a Secret in the operator's own namespace."""

    name: Annotated[ObjectName, Field(description="The Secret, in the operator's namespace.")]
    key: Annotated[DataKey, Field(description="Its key.")]
