"""Defines the requests that are passed on as JSON, in the form of OpenAI's API."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

_Text = Annotated[str, Field(max_length=1_000_000)]
_Tokens = Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1)]
_MODEL = "A connection, a pool or a model of `GET /v1/models`; `auto`: any that serves it."


class _Forwarded(BaseModel):
    """Fields that are not listed are passed on as well."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)
    model: str = Field(min_length=1, max_length=300, description=_MODEL)


class EmbeddingCreate(_Forwarded):
    """A request for embeddings of one text, or of several; as text or as tokens."""

    input: _Text | Annotated[list[_Text] | _Tokens | list[_Tokens], Field(min_length=1)]


class SpeechCreate(_Forwarded):
    """A request to say a text."""

    input: Annotated[str, Field(min_length=1, max_length=100_000)]
    voice: Any = None


class TranscriptionCreate(BaseModel):
    """A form with a recording, of 25 MB at most."""

    model_config = ConfigDict(extra="allow")
    file: Annotated[str, Field(json_schema_extra={"format": "binary"})]
    model: str = Field(min_length=1, max_length=300, description=_MODEL)
