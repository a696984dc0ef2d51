"""Defines planned calls as JSON."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

from llm_router.gateway.schemas.base import Page, PageQuery, StrictModel
from llm_router.voice.phone.plan import CallPlan, PlannedCall, PlanStatus

MOST_AT_ONCE = 200
"""Plans of one request."""
_EXAMPLE: dict[str, Any] = {
    "calls": [{"number": "+15550123456", "hours": "09:00-18:00", "timezone": "Europe/Berlin"}]
}


class CallPlans(StrictModel):
    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})
    calls: Annotated[list[CallPlan], Field(min_length=1, max_length=MOST_AT_ONCE)]


class PlannedCallRead(BaseModel):
    """A call that is planned, under way, or done."""

    model_config = ConfigDict(from_attributes=True)
    id: str
    number: str
    assistant: str = Field(description="Empty: the default one.")
    variables: Mapping[str, str]
    voicemail: str
    detect_machine: bool
    timezone: str
    earliest: datetime
    latest: datetime
    hours: str
    retry_after_minutes: Sequence[int]
    idempotency_key: str
    author: str = Field(description="Name of the API key that planned it.")
    status: PlanStatus
    outcome: str = Field(
        description="Of the last attempt: person, voicemail, machine, answered, busy, declined,"
        " no_answer, invalid, blocked, capacity, failed, no_agent, expired or unknown."
    )
    reason: str = Field(description="What is known beyond the outcome.")
    attempt: int
    next_at: datetime | None = Field(description="Time of the next attempt; null: there is none.")
    room: str = Field(description="Room of the last attempt, by which `GET /api/calls` finds it.")
    dialed_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, call: PlannedCall) -> Self:
        return cls.model_validate(call)


class PlannedCallQuery(PageQuery):
    status: PlanStatus | None = None


class PlannedCallPage(Page):
    items: list[PlannedCallRead]


class PlannedCallList(BaseModel):
    items: list[PlannedCallRead] = Field(description="In the order of the request.")
