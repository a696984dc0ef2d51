"""Defines pulls of models as JSON."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from llm_router.gateway.schemas.base import StrictModel
from llm_router.management.model_pulls import Pull, PullState

MODEL_NAME = r"^[A-Za-z0-9_./:@-]+$"


class ModelPullCreate(StrictModel):
    """`model`: the connection's own, unless named."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"model": "qwen3:4b"}]})
    model: str | None = Field(default=None, max_length=300, pattern=MODEL_NAME)


class ModelPullRead(BaseModel):
    """The progress of one model that a server pulls."""

    model: str
    state: PullState
    status: str = Field(description="The present step, in the server's words.")
    digest: str = Field(description="The layer that is being pulled.")
    total: int | None = Field(description="Bytes of that layer.")
    completed: int | None = Field(description="Bytes of it that have arrived.")
    error: str = Field(description="Why it failed, in the server's own words.")
    started_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, pull: Pull) -> "ModelPullRead":
        progress = pull.progress
        return cls(
            model=pull.model,
            state=pull.state,
            status=progress.status,
            digest=progress.digest,
            total=progress.total,
            completed=progress.completed,
            error=pull.error,
            started_at=pull.started_at,
            finished_at=pull.finished_at,
        )


class ModelPullList(BaseModel):
    items: Sequence[ModelPullRead]
