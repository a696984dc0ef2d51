"""Defines messages of callers as JSON."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from llm_router.gateway.schemas.base import Page

_EXAMPLE: dict[str, Any] = {
    "id": "5f0c1a9be0d94c7a8f4e6f1f2c3d4e5f", "room": "call-5f0c1a9b", "assistant": "default",
    "name": "Ann Lee", "contact": "ann@example.org", "text": "Please call me back about the bill.",
    "created_at": "2026-05-04T09:30:00Z",
}  # fmt: skip


class CallerMessageRead(BaseModel):
    """A message that a caller has left."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [_EXAMPLE]})
    id: str
    room: str = Field(
        description="Room of the call in which it was left, by which /api/calls finds it."
    )
    assistant: str
    name: str
    contact: str = Field(description="How the caller can be reached.")
    text: str
    created_at: datetime


class CallerMessagePage(Page):
    items: Sequence[CallerMessageRead]
