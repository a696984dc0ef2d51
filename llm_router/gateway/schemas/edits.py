"""Makes the body of an edit from a record: every field may be left out."""

from collections.abc import Collection
from typing import Any, get_type_hints

from pydantic import BaseModel, Field


def optional_fields(record: type[BaseModel], *, without: Collection[str]) -> dict[str, Any]:
    """Returns the record's fields for `create_model`; each may be left out, or null to clear it."""
    hints = get_type_hints(record, include_extras=True)
    return {
        name: (
            hints[name] | None,
            Field(None, description=field.description, json_schema_extra=_without_default),
        )
        for name, field in record.model_fields.items()
        if name not in without
    }


def _without_default(schema: dict[str, Any]) -> None:
    """Removes the default: a field that is left out stays as it is, and null clears it."""
    schema.pop("default", None)
