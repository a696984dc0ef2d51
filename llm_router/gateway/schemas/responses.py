"""Defines responses as JSON, in the form of the Open Responses specification."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from llm_router.gateway.schemas.chat import Model, Tokens

LOGPROBS = "message.output_text.logprobs"
"""Entry of `include` that asks for the probabilities of tokens."""
Penalty = Annotated[float | None, Field(ge=-2, le=2)]


class ResponseCreate(BaseModel):
    """A request for a response. Fields that are not listed here are ignored."""

    model_config = ConfigDict(
        extra="ignore",
        strict=True,
        allow_inf_nan=False,
        json_schema_extra={"examples": [{"model": "auto", "input": "Hello!"}]},
    )
    model: Model
    input: str | list[Any] = Field(
        min_length=1, description="The user's text, or the items of the conversation."
    )
    instructions: str | None = None
    stream: bool | None = None
    tools: list[Any] | None = Field(default=None, max_length=500)
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: Annotated[int | None, Field(ge=1, le=10**9)] = None
    text: dict[str, Any] | None = Field(default=None, description="`format` and `verbosity`.")
    reasoning: dict[str, Any] | None = Field(default=None, description="`effort`.")
    temperature: Annotated[float | None, Field(ge=0, le=2)] = None
    top_p: Annotated[float | None, Field(ge=0, le=1)] = None
    presence_penalty: Penalty = None
    frequency_penalty: Penalty = None
    max_output_tokens: Tokens = None
    include: list[Any] | None = Field(
        default=None,
        max_length=100,
        description=f"`{LOGPROBS}`: how likely each token was, where the server says so.",
    )
    top_logprobs: Annotated[int | None, Field(ge=0, le=20)] = None
    truncation: str | None = None
    user: Annotated[str | None, Field(max_length=1_000)] = None
    safety_identifier: Annotated[str | None, Field(max_length=1_000)] = None
    prompt_cache_key: Annotated[str | None, Field(max_length=1_000)] = None
    service_tier: Annotated[str | None, Field(max_length=100)] = None
    metadata: dict[str, Any] | None = None
    store: bool | None = Field(default=None, description="No response is stored.")
    background: bool | None = None
    previous_response_id: str | None = Field(
        default=None, description="Refused: send the earlier turns in `input`."
    )
    conversation: Any = None
    prompt: Any = None
    patchbay: dict[str, Any] | None = Field(
        default=None, description="`receipt`: true has the attempts listed in the response."
    )

    @property
    def wants_logprobs(self) -> bool:
        return LOGPROBS in (self.include or ())
