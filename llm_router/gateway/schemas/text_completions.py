"""Defines completions of a text as JSON: the oldest form of OpenAI's API."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from llm_router.gateway.schemas.chat import Model, Stop, Tokens

Text = Annotated[str, Field(min_length=1)]


class CompletionCreate(BaseModel):
    """A request for the completion of one text.

    Fields that are not listed here are passed on to servers that speak chat completions, but for
    those that a chat completion has: they are left out.
    """

    model_config = ConfigDict(
        extra="allow",
        strict=True,
        allow_inf_nan=False,
        json_schema_extra={"examples": [{"model": "auto", "prompt": "Hello!"}]},
    )
    model: Model
    prompt: Text | Annotated[list[Text], Field(min_length=1, max_length=1)]
    stream: bool | None = None
    stream_options: dict[str, Any] | None = Field(
        default=None, description="`include_usage`: a last frame with the tokens."
    )
    temperature: Annotated[float | None, Field(ge=0, le=2)] = None
    top_p: Annotated[float | None, Field(ge=0, le=1)] = None
    max_tokens: Tokens = Field(default=None, description="As many as the connection allows.")
    stop: str | Annotated[list[Stop], Field(max_length=16)] | None = None
    seed: Annotated[int | None, Field(ge=-(2**63), lt=2**63)] = None
    n: Literal[1] | None = None
    best_of: Literal[1] | None = None
    echo: Literal[False] | None = None
    suffix: Literal[""] | None = None
    logprobs: Literal[0] | None = None
    user: Annotated[str | None, Field(max_length=1_000)] = None
    patchbay: dict[str, Any] | None = Field(
        default=None, description="`receipt`: true has the attempts listed with the usage."
    )
