"""Defines local models as JSON, in the words of programs that know them as providers."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from llm_router.gateway.schemas.base import StrictModel
from llm_router.gateway.schemas.chat import ChatCompletionCreate
from llm_router.gateway.schemas.models import MODEL_NAME, ModelPullRead

LocalStatus = Literal["ok", "unreachable", "unknown"]


class _Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class LocalModel(_Camel):
    api_name: str = Field(description="The model, as a request names it.")
    ui_name: str = Field(description="The connection.")
    supports_tools: bool


class LocalHealth(_Camel):
    """The result of a provider's checks."""

    provider: str
    base_url: str
    status: LocalStatus = Field(description="`unknown`: not checked since it was set up.")
    latency_ms: int | None = Field(default=None, description="Of the latest check.")
    error: str | None = None


class LocalProvider(_Camel):
    """A connection, as a provider of one model. Its key is not shown."""

    provider: str
    base_url: str
    models: list[LocalModel]
    health: LocalHealth


class LocalProviders(BaseModel):
    providers: list[LocalProvider]


class LocalChatCreate(ChatCompletionCreate):
    """A request for a chat completion, of one provider if it is named."""

    model: str = Field(
        default="auto", min_length=1, max_length=300, description="As for `/v1/chat/completions`."
    )
    stream: bool | None = Field(default=None, description="Without a meaning here.")
    provider: str | None = Field(
        default=None,
        min_length=1,
        max_length=300,
        description="A connection by name or id, or the first words of the names of several.",
    )


class OlderChatCreate(ChatCompletionCreate):
    """A request for a chat completion that is streamed unless it says otherwise."""

    model: str = Field(
        default="auto", min_length=1, max_length=300, description="As for `/v1/chat/completions`."
    )
    stream: bool | None = True


class LocalModelChange(StrictModel):
    """A model that an Ollama is to pull or delete."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"model": "qwen3:4b"}]})
    model: str = Field(min_length=1, max_length=300, pattern=MODEL_NAME)
    provider: str | None = Field(
        default=None, min_length=1, max_length=300, description="The first Ollama, unless named."
    )


class OllamaTag(BaseModel):
    name: str
    model: str


class OllamaTags(BaseModel):
    models: list[OllamaTag]


class OllamaModelsRead(BaseModel):
    provider: str
    tags: OllamaTags


class OllamaPullRead(BaseModel):
    provider: str
    result: ModelPullRead


class OllamaDeleted(BaseModel):
    provider: str
    result: dict[str, str] = Field(examples=[{"status": "success"}])
