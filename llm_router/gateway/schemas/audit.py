"""Defines the audit log as JSON."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from llm_router.connections.access import AuditEntry, Role
from llm_router.gateway.schemas.base import PageQuery, ShortText

_UNREADABLE = {"unreadable": "its facts cannot be written as JSON, such as ones nested too deep"}


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

    @classmethod
    def of(cls, entry: AuditEntry) -> "AuditEntryRead":
        """Returns the entry, without its facts if they cannot be written as JSON.

        So one entry that was edited by hand hides no other.
        """
        read = cls.model_validate(entry)
        try:
            read.model_dump_json()
        except (ValueError, RecursionError):
            return read.model_copy(update={"before": {}, "after": _UNREADABLE})
        return read


class AuditQuery(PageQuery):
    target: ShortText | None = Field(default=None, description="The id that the action was on.")


class AuditPage(BaseModel):
    items: Sequence[AuditEntryRead]
    limit: int
    offset: int
