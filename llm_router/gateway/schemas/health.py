"""What the routes of health and of webhooks take and answer."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from llm_router.connections.record import Status
from llm_router.connections.store import CheckKind
from llm_router.connections.webhooks import Event
from llm_router.gateway.schemas.connections import Given, Paged, Text
from llm_router.store.outbox import DeliveryStatus

_CHECK: dict[str, Any] = {
    "at": "2026-05-04T09:30:00Z", "kind": "probe", "outcome": "unreachable", "latency": None,
    "detail": "unreachable (no answer from 10.0.0.5:8000): is the server running?",
}  # fmt: skip
_HOOK: dict[str, Any] = {
    "name": "pager",
    "url": "https://hooks.example.org/patchbay",
    "events": ["connection.status_changed", "connection.deactivated"],
}
_KEPT: dict[str, Any] = {
    **_HOOK, "id": "0b6f2a52-1f0e-4b7e-9a55-5f1b1f0c9d3e", "is_active": True, "owner": "",
    "team": "", "created_at": "2026-05-04T09:30:00Z", "updated_at": "2026-05-04T09:30:00Z",
    "version": 1,
}  # fmt: skip


class CheckShown(BaseModel):
    """One look at a connection."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [_CHECK]})
    at: datetime
    kind: CheckKind = Field(
        description="probe: the list of models; word: one token of an answer; test: somebody's own"
        " test; call: the probe failed, but callers get replies."
    )
    outcome: str = Field(
        description="ok; not asked, where the owner may not have the address called; or why it"
        " failed: unreachable, overloaded, rate limited, rejected key, model missing, ..."
    )
    latency: float | None = Field(description="Seconds until the answer was whole.")
    detail: str


class ConnectionHealth(Paged):
    """How a connection is, and the checks by which that is known, the newest first."""

    status: Status
    status_reason: str
    items: Sequence[CheckShown]


Name = Annotated[Text, Field(min_length=1)]
Url = Annotated[
    str,
    StringConstraints(max_length=2_000, pattern=r"^https?://[^\s@\x00-\x1f\x7f]+$"),
    Field(description="Where to. Redirects are not followed; no user name and no password."),
]
Events = Annotated[list[Event], Field(min_length=1, max_length=20)]


class NewWebhook(Given):
    """Whom to tell of what. `owner`, `team`: only of connections of theirs; empty: of all."""

    model_config = ConfigDict(json_schema_extra={"examples": [_HOOK]})
    name: Name
    url: Url
    events: Events
    owner: Text = ""
    team: Text = ""


class WebhookChanges(Given):
    """New values for the fields named. `version`: of the record that they are based on."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"is_active": False}]})
    name: Name | None = None
    url: Url | None = None
    events: Events | None = None
    is_active: Annotated[bool | None, Field(strict=True)] = None
    owner: Text | None = None
    team: Text | None = None
    version: Annotated[int | None, Field(ge=0, le=10**9, strict=True)] = None

    def given(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True, exclude={"version"})


class WebhookShown(BaseModel):
    """A webhook as it is kept: all but the secret."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [_KEPT]})
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


class WebhookMade(WebhookShown):
    model_config = ConfigDict(json_schema_extra={"examples": [{**_KEPT, "secret": "whsec_..."}]})
    secret: str = Field(description="What every message is signed with. It is shown this once.")


class WebhookPage(Paged):
    items: Sequence[WebhookShown]


class DeliveryShown(BaseModel):
    """One event for one webhook, and what came of telling it."""

    model_config = ConfigDict(from_attributes=True)
    id: int
    event: str
    payload: Mapping[str, Any]
    status: DeliveryStatus
    attempts: int
    last_status: int | None = Field(description="What the receiver answered last, in HTTP.")
    last_error: str
    created_at: datetime
    next_at: datetime | None = Field(description="When it is tried next, while it waits.")
    delivered_at: datetime | None


class DeliveryPage(Paged):
    items: Sequence[DeliveryShown]
