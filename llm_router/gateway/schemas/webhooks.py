"""Defines webhooks and their deliveries as JSON."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from llm_router.connections.webhooks import Event
from llm_router.gateway.schemas.base import Page, ShortText, StrictModel
from llm_router.store.outbox import DeliveryStatus

_EXAMPLE: dict[str, Any] = {
    "name": "pager",
    "url": "https://hooks.example.org/patchbay",
    "events": ["connection.status_changed", "connection.deactivated"],
}
_READ_EXAMPLE: dict[str, Any] = {
    **_EXAMPLE, "id": "0b6f2a52-1f0e-4b7e-9a55-5f1b1f0c9d3e", "is_active": True, "owner": "",
    "team": "", "created_at": "2026-05-04T09:30:00Z", "updated_at": "2026-05-04T09:30:00Z",
    "version": 1,
}  # fmt: skip

Name = Annotated[ShortText, Field(min_length=1)]
Url = Annotated[
    str,
    StringConstraints(max_length=2_000, pattern=r"^https?://[^\s@\x00-\x1f\x7f]+$"),
    Field(description="The receiver. Redirects are not followed; no user name and no password."),
]
Events = Annotated[list[Event], Field(min_length=1, max_length=20)]


class WebhookCreate(StrictModel):
    """A new webhook. `owner`, `team`: only events of their connections; empty: of all."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})
    name: Name
    url: Url
    events: Events
    owner: ShortText = ""
    team: ShortText = ""


class WebhookUpdate(StrictModel):
    """New values for the fields named. `version`: of the record that the change is based on."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"is_active": False}]})
    name: Name | None = None
    url: Url | None = None
    events: Events | None = None
    is_active: Annotated[bool | None, Field(strict=True)] = None
    owner: ShortText | None = None
    team: ShortText | None = None
    version: Annotated[int | None, Field(ge=0, le=10**9, strict=True)] = None

    def values(self) -> dict[str, Any]:
        """Returns the fields that are to change."""
        return self.model_dump(exclude_none=True, exclude={"version"})


class WebhookRead(BaseModel):
    """A stored webhook, without the secret."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [_READ_EXAMPLE]})
    id: str
    name: str
    url: str
    events: Sequence[Event]
    is_active: bool
    owner: str
    team: str
    created_at: datetime
    updated_at: datetime
    version: int


class WebhookCreateResult(WebhookRead):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{**_READ_EXAMPLE, "secret": "whsec_..."}]}
    )
    secret: str = Field(description="Signs every message. It is shown this once.")


class WebhookPage(Page):
    items: Sequence[WebhookRead]


class WebhookDeliveryRead(BaseModel):
    """An event for a webhook, and the result of its delivery."""

    model_config = ConfigDict(from_attributes=True)
    id: int
    event: str
    payload: Mapping[str, Any]
    status: DeliveryStatus
    attempts: int
    last_status: int | None = Field(description="The receiver's last HTTP status.")
    last_error: str
    created_at: datetime
    next_at: datetime | None = Field(description="The time of the next try, while it waits.")
    delivered_at: datetime | None


class WebhookDeliveryPage(Page):
    items: Sequence[WebhookDeliveryRead]
