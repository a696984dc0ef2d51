"""Defines the health of a connection as JSON."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from llm_router.connections.record import Status
from llm_router.connections.store import CheckKind
from llm_router.gateway.schemas.base import Page

_EXAMPLE: dict[str, Any] = {
    "at": "2026-05-04T09:30:00Z", "kind": "probe", "outcome": "unreachable", "latency": None,
    "detail": "unreachable (no answer from 10.0.0.5:8000): is the server running?",
}  # fmt: skip


class HealthCheckRead(BaseModel):
    """A check of a connection."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [_EXAMPLE]})
    at: datetime
    kind: CheckKind = Field(
        description="probe: the list of models; word: one token of an answer; test: a person's own"
        " test; call: the probe failed, but callers get replies."
    )
    outcome: str = Field(
        description="ok; not asked, if the owner may not have the address called; or why it failed:"
        " unreachable, overloaded, rate limited, rejected key, model missing, ..."
    )
    latency: float | None = Field(description="Seconds until the answer was whole.")
    detail: str


class ConnectionHealthRead(Page):
    """The status of a connection, and the checks that it follows from, the newest first."""

    status: Status
    status_reason: str
    items: Sequence[HealthCheckRead]
