"""Defines the single backend that older programs know as JSON."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from llm_router.connections.record import MAX_LENGTHS, Connection, Status
from llm_router.gateway.schemas.base import StrictModel

BackendKind = Literal["local", "ollama", "vllm", "instructlab", "openai"]


class ModelLoadCreate(StrictModel):
    """A name that the server knows, or for a local backend also a path."""

    model_config = ConfigDict(
        protected_namespaces=(),
        json_schema_extra={"examples": [{"model_name_or_path": "qwen3:4b"}]},
    )
    model_name_or_path: str = Field(min_length=1, max_length=MAX_LENGTHS["model_name"])


class ModelLoadRead(BaseModel):
    """The load of a model that is running, or the latest one."""

    model_config = ConfigDict(from_attributes=True)
    connection_id: str
    model: str
    state: Literal["loading", "ready", "failed"]
    progress: float | None = Field(description="From 0 to 1; null if the server does not say.")
    detail: str


class BackendConfig(StrictModel):
    """Generation settings for requests that do not set them themselves."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"temperature": 0.4, "extra": {"top_k": 20}}]}
    )
    temperature: float | None = Field(default=None, ge=0, le=2, strict=True)
    top_p: float | None = Field(default=None, ge=0, le=1, strict=True)
    max_tokens: int | None = Field(default=None, ge=1, le=10**9, strict=True)
    extra: dict[str, JsonValue] = Field(
        default={},
        max_length=50,
        description="Other fields of a request, as the server knows them.",
    )

    @classmethod
    def of(cls, connection: Connection) -> "BackendConfig":
        return cls(
            temperature=connection.temperature,
            top_p=connection.top_p,
            max_tokens=connection.max_tokens,
            extra=dict(connection.extra_body),
        )


class BackendRead(BaseModel):
    """The connection that is asked first; with `status` none, there is none."""

    connection_id: str | None = None
    connection: str | None = None
    backend_type: BackendKind | None = None
    backend_url: str = ""
    active_model: str = ""
    status: Status | Literal["loading", "none"]
    status_reason: str = ""
    loading: ModelLoadRead | None = None
    config: BackendConfig | None = None
