"""Defines API keys as JSON."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from llm_router.connections.access import Role
from llm_router.gateway.schemas.base import Page, ShortText, StrictModel


class ApiKeyCreate(StrictModel):
    """A new API key.

    `owner`: the owner of the connections that it works with; unless given, its own name, or none
    for an admin and a worker. `expires_at`: never, unless given.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "anna", "role": "editor", "team": "support"}]}
    )
    name: Annotated[ShortText, Field(min_length=1)]
    role: Role
    owner: ShortText | None = None
    team: ShortText = ""
    may_serve_calls: bool = Field(
        default=False,
        description="Whether its connections answer live callers without an admin's approval.",
    )
    expires_at: AwareDatetime | None = None


class ApiKeyRead(BaseModel):
    """A stored API key, without the secret."""

    model_config = ConfigDict(from_attributes=True)
    id: str
    name: str
    last4: str
    role: Role
    owner: str
    team: str
    may_serve_calls: bool
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")
    revoked_at: datetime | None


class ApiKeyCreateResult(ApiKeyRead):
    key: str = Field(description="The key itself. It is shown this once.", repr=False)


class ApiKeyPage(Page):
    items: Sequence[ApiKeyRead]
