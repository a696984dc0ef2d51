"""Defines the state of the model servers as JSON, in the words of programs that know one vLLM."""

from pydantic import BaseModel, ConfigDict, Field

from llm_router.management.overview import OverviewStatus


class HealthDetails(BaseModel):
    models: list[str] = Field(description="Of the connections that are well.")
    error: str | None = Field(default=None, description="Why nothing is known.")


class OverviewRead(BaseModel):
    """The state of the model servers behind all active connections, or those that a key may see."""

    model_config = ConfigDict(protected_namespaces=())
    status: OverviewStatus = Field(
        description="`unhealthy`: no connection is well; `degraded`: some fail their checks."
    )
    gpu_available: bool = Field(
        description="Inferred: a vLLM, an SGLang or a TGI is well, which run on GPUs as a rule."
    )
    model_loaded: bool = Field(description="A connection that is well names its model.")
    upstream_healthy: bool = Field(description="At least one connection is well.")
    queue_size: int | None = Field(
        description="Requests that wait at the vLLM, SGLang and llama.cpp servers; null: none says."
    )
    details: HealthDetails | None = Field(
        description="null without a key, but for programs on this machine."
    )
