"""Defines the generation of a text by one connection as JSON."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from llm_router.connections.record import NUMBER_RANGES
from llm_router.gateway.schemas.base import StrictModel
from llm_router.management.generate import text_request
from llm_router.types import ChatRequest


class TextCreate(StrictModel):
    """A request for a text; fields that are left out are those of the connection."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"prompt": "A haiku about tea.", "temperature": 0.7}]}
    )
    prompt: str = Field(min_length=1, max_length=200_000)
    system: str = Field(default="", max_length=200_000, description="The system message.")
    temperature: Annotated[float | None, Field(ge=0, le=2, strict=True)] = None
    top_p: Annotated[float | None, Field(ge=0, le=1, strict=True)] = None
    max_tokens: Annotated[
        int | None, Field(ge=1, le=NUMBER_RANGES["max_tokens"][1], strict=True)
    ] = None

    def to_chat_request(self) -> ChatRequest:
        return text_request(**self.model_dump(include={*TextCreate.model_fields}))


class TextOfModelCreate(TextCreate):
    """A request for a text by any connection that serves the model."""

    model: str = Field(
        default="auto",
        min_length=1,
        max_length=300,
        description="As in `POST /v1/chat/completions`.",
    )


class TokenUsageRead(BaseModel):
    """Tokens, as the server counted them."""

    model_config = ConfigDict(from_attributes=True)
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int


class TextResult(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    text: str
    connection: str
    model: str
    finish_reason: str
    usage: TokenUsageRead | None = Field(description="null if the server did not say.")
    first_word: float | None = Field(description="Seconds until the first word.")
    duration: float = Field(description="Seconds until the text was whole.")
