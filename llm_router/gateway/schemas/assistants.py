"""Defines assistants and their versions as JSON. Their fields are those of the record."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, get_type_hints

from pydantic import ConfigDict, Field, JsonValue, create_model

from llm_router.gateway.schemas.base import Page, StrictModel
from llm_router.store.assistants import StoredAssistant
from llm_router.voice.assistant import AssistantRecord, parse_assistant

_EXAMPLE: dict[str, JsonValue] = {
    "name": "shop",
    "instructions": "You answer the telephone of a tea shop. It opens at nine.",
    "greeting": "The tea shop, hello!",
    "languages": ["en"],
    "voice": "en_GB-alba-medium",
    "tools": ["get_time", "end_call"],
}
_FACTS: dict[str, JsonValue] = {
    "version": 3, "author": "carl", "at": "2026-05-04T09:30:00Z", "restored": None,
}  # fmt: skip
MAX_VERSION = 10**9
_Version = Annotated[int | None, Field(ge=1, le=MAX_VERSION, strict=True)]


def _optional() -> dict[str, Any]:
    """Returns each field of the record but its name, which an edit may leave out or clear."""
    hints = get_type_hints(AssistantRecord, include_extras=True)
    return {
        name: (
            hints[name] | None,
            Field(None, description=field.description, json_schema_extra=_without_default),
        )
        for name, field in AssistantRecord.model_fields.items()
        if name != "name"
    }


def _without_default(schema: dict[str, Any]) -> None:
    """Removes the default: a field that is left out stays as it is, and null clears it."""
    schema.pop("default", None)


class AssistantCreate(AssistantRecord, StrictModel):
    """A new assistant. What is left out is the setting's."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]}, title="AssistantCreate")

    def record(self) -> AssistantRecord:
        return parse_assistant(self.model_dump(mode="json", exclude_unset=True))


_Fields: Any = create_model("_AssistantFields", __base__=StrictModel, **_optional())


class AssistantUpdate(_Fields):  # type: ignore[misc]  # its fields are those of the record
    """New values for the fields named; null: back to the setting's. `version`: of the record that
    the change is based on.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"greeting": "Hello, the tea shop!", "version": 3}]}
    )
    version: _Version = None

    def values(self) -> dict[str, Any]:
        """Returns the fields that were sent, as plain values."""
        sent: dict[str, Any] = self.model_dump(mode="json", exclude_unset=True, exclude={"version"})
        return sent


class AssistantRead(AssistantRecord):
    """One version of an assistant; headers of its tools are masked."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**_EXAMPLE, **_FACTS}]})
    version: int
    author: str
    at: datetime = Field(description="The time at which this version was made.")
    restored: int | None = Field(description="The older version whose content it has again.")

    @classmethod
    def of(cls, stored: StoredAssistant) -> "AssistantRead":
        return cls.model_validate(
            {
                **dict(stored.record),
                "version": stored.version,
                "author": stored.author,
                "at": stored.at,
                "restored": stored.restored,
            }
        )


class AssistantPage(Page):
    items: Sequence[AssistantRead]


class AssistantRollback(StrictModel):
    """`to`: the version whose content is to be the present one again. `version`: the present one
    as you know it.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"to": 2, "version": 3}]})
    to: Annotated[int, Field(ge=1, le=MAX_VERSION, strict=True)]
    version: _Version = None


class FieldDifference(StrictModel):
    before: JsonValue
    after: JsonValue


class AssistantDifferences(StrictModel):
    """The fields in which two versions of an assistant differ."""

    fields: Mapping[str, FieldDifference]
