"""Defines sign-ins, and what the signed-in actor may do, as JSON."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from llm_router.connections.access import Action, KeyIntegration, Role, RouteGroup
from llm_router.gateway.schemas.base import StrictModel


class SessionCreate(StrictModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"api_key": "pb_..."}]})
    api_key: SecretStr = Field(max_length=200)


class MeRead(BaseModel):
    """The API key of the request, and its permissions."""

    name: str
    role: Role
    owner: str
    team: str
    may: Sequence[Action] = Field(description="What it may do, with some connection at least.")
    may_serve_calls: bool = Field(description="Whether it decides what callers hear.")
    routes: Sequence[RouteGroup] | None = Field(description="Groups of routes; null: all.")
    pools: Sequence[str] | None = Field(description="Pools of connections; null: all.")
    integration: KeyIntegration
    expires_at: datetime | None = Field(description="The end of its key.")
