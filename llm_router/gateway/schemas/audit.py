"""Defines the audit log as JSON."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from llm_router.connections.access import Role
from llm_router.gateway.schemas.base import PageQuery, ShortText


class AuditEntryRead(BaseModel):
    """An action. `before` and `after` hold the fields that differ, without secrets."""

    model_config = ConfigDict(from_attributes=True)
    at: datetime
    actor: str
    role: Role
    origin: str
    action: str
    kind: str
    target: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]


class AuditQuery(PageQuery):
    target: ShortText | None = Field(default=None, description="The id that the action was on.")


class AuditPage(BaseModel):
    items: Sequence[AuditEntryRead]
    limit: int
    offset: int
