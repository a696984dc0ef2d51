"""Defines assistants and their versions as JSON. Their fields are those of the record."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, JsonValue, create_model

from llm_router.connections.access import Visibility
from llm_router.gateway.schemas.base import Page, StrictModel
from llm_router.gateway.schemas.edits import optional_fields
from llm_router.store.assistants import StoredAssistant
from llm_router.voice.assistant import AssistantRecord, parse_assistant
from llm_router.voice.assistant_secrets import split_secrets
from llm_router.voice.rules import Ownership

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
    "source": "stored", "owner": "carl", "team": "shop", "visibility": "team",
}  # fmt: skip
MAX_VERSION = 10**9
_Version = Annotated[int | None, Field(ge=1, le=MAX_VERSION, strict=True)]


_OWN = frozenset({"owner", "team", "visibility"})
"""Fields of its ownership, which versions share."""
_Owner = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]


class AssistantCreate(AssistantRecord, StrictModel):
    """A new assistant. What is left out is the setting's. Admins alone choose another owner."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]}, title="AssistantCreate")
    owner: _Owner = Field("", description="Empty: that of the API key.")
    team: _Owner = Field("", description="May read and change it, unless it is private.")
    visibility: Visibility = Field("private", description="Who may read it; calls always may.")

    def record(self) -> AssistantRecord:
        return parse_assistant(self.model_dump(mode="json", exclude_unset=True, exclude={*_OWN}))

    @property
    def ownership(self) -> Ownership:
        return Ownership(owner=self.owner, team=self.team, visibility=self.visibility)


_Fields: Any = create_model(
    "_AssistantFields", __base__=StrictModel, **optional_fields(AssistantRecord, without={"name"})
)


class AssistantUpdate(_Fields):  # type: ignore[misc]  # its fields are those of the record
    """New values for the fields named; null: back to the setting's. `version`: of the record that
    the change is based on.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"greeting": "Hello, the tea shop!", "version": 3}]}
    )
    version: _Version = None
    owner: _Owner | None = Field(None, description="Admins alone change it.")
    team: _Owner | None = None
    visibility: Visibility | None = None

    def values(self) -> dict[str, Any]:
        """Returns the fields of the record that were sent, as plain values."""
        others = {"version", *_OWN}
        sent: dict[str, Any] = self.model_dump(mode="json", exclude_unset=True, exclude=others)
        return sent

    def ownership(self) -> dict[str, str]:
        """Returns the fields of the ownership that were sent; null leaves one as it is."""
        sent: dict[str, str] = self.model_dump(include=set(_OWN), exclude_none=True)
        return sent


class AssistantRead(AssistantRecord):
    """One version of an assistant; headers of its tools are masked."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**_EXAMPLE, **_FACTS}]})
    source: Literal["stored", "file"] = Field(
        description="One in the file of assistants is changed there, and has no versions."
    )
    owner: str
    team: str
    visibility: Visibility
    version: int = Field(description="0: it is in the file.")
    author: str
    at: datetime | None = Field(description="The time at which this version was made.")
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
                "source": "stored",
                **asdict(stored.ownership),
            }
        )

    @classmethod
    def in_file(cls, record: AssistantRecord) -> "AssistantRead":
        """Returns one of the file of assistants, which everyone may read who reads assistants."""
        masked, _ = split_secrets(record)
        facts = {"version": 0, "author": "", "at": None, "restored": None, "source": "file"}
        own = asdict(Ownership(visibility="everyone"))
        return cls.model_validate({**dict(masked), **facts, **own})


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
