"""Defines chat completions as JSON, in the form of OpenAI's API."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Tokens = Annotated[int | None, Field(ge=1, le=10**9)]
Stop = Annotated[str, Field(max_length=1_000)]
Model = Annotated[
    str,
    Field(
        min_length=1,
        max_length=300,
        description="A connection, a pool or a model of `GET /v1/models`; `auto`: any of them.",
    ),
]


class ChatCompletionCreate(BaseModel):
    """A request for a chat completion.

    Fields that are not listed here are passed on to servers that speak this API.
    """

    model_config = ConfigDict(
        extra="allow",
        strict=True,
        allow_inf_nan=False,
        json_schema_extra={
            "examples": [{"model": "auto", "messages": [{"role": "user", "content": "Hello!"}]}]
        },
    )
    model: Model
    messages: list[Any] = Field(min_length=1, description="The conversation, in OpenAI's form.")
    stream: bool | None = None
    stream_options: dict[str, Any] | None = Field(
        default=None, description="`include_usage`: a last frame with the tokens."
    )
    tools: list[Any] | None = Field(default=None, max_length=500)
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    temperature: Annotated[float | None, Field(ge=0, le=2)] = None
    top_p: Annotated[float | None, Field(ge=0, le=1)] = None
    max_tokens: Tokens = None
    max_completion_tokens: Tokens = None
    stop: str | Annotated[list[Stop], Field(max_length=16)] | None = None
    seed: Annotated[int | None, Field(ge=-(2**63), lt=2**63)] = None
    logprobs: bool | None = Field(
        default=None, description="Where the server says it: how likely each token was."
    )
    top_logprobs: Annotated[int | None, Field(ge=0, le=20)] = None
    n: Literal[1] | None = Field(default=None, description="One reply; there are never more.")
    user: Annotated[str | None, Field(max_length=1_000)] = None
    patchbay: dict[str, Any] | None = Field(
        default=None,
        description="`receipt`: true has the attempts behind the reply listed with its usage.",
    )


class ModelRead(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = Field(
        description="`patchbay:connection`, `patchbay:pool`, `patchbay:model` or `patchbay:auto`."
    )


class ModelsRead(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelRead]
