"""Defines messages as JSON, in the form of Anthropic's API."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from llm_router.gateway.schemas.chat import Model, Stop


class TokenCountCreate(BaseModel):
    """A conversation whose tokens are to be counted. Fields that are not listed are ignored."""

    model_config = ConfigDict(
        extra="ignore",
        strict=True,
        allow_inf_nan=False,
        json_schema_extra={
            "examples": [{"model": "auto", "messages": [{"role": "user", "content": "Hello!"}]}]
        },
    )
    model: Model
    messages: list[Any] = Field(min_length=1, description="The conversation.")
    system: str | list[Any] | None = None
    tools: list[Any] | None = Field(default=None, max_length=500)
    tool_choice: dict[str, Any] | None = None


class MessageCreate(TokenCountCreate):
    """A request for a message. Fields that are not listed here are ignored."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "auto",
                    "max_tokens": 100,
                    "messages": [{"role": "user", "content": "Hello!"}],
                }
            ]
        },
    )
    max_tokens: int = Field(ge=1, le=10**9)
    stream: bool | None = None
    stop_sequences: Annotated[list[Stop] | None, Field(max_length=16)] = None
    temperature: Annotated[float | None, Field(ge=0, le=1)] = None
    top_p: Annotated[float | None, Field(ge=0, le=1)] = None
    top_k: Annotated[int | None, Field(ge=0, le=10**9)] = None
    metadata: dict[str, Any] | None = Field(default=None, description="`user_id`.")
    output_config: dict[str, Any] | None = Field(
        default=None, description="`effort`, and the `format` of a reply in JSON."
    )
    container: Any = None
    mcp_servers: list[Any] | None = None
    patchbay: dict[str, Any] | None = Field(
        default=None, description="`receipt`: true has the attempts listed with the usage."
    )


class TokenCountRead(BaseModel):
    input_tokens: int = Field(description="Estimated from the characters.")
