"""Defines calls and what was said in them as JSON."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from llm_router.gateway.schemas.base import Page, PageQuery, ShortText
from llm_router.voice.calls import Call, CallFilters, CallItem, CallKind, CallState, ItemRole, Keep


class CallRead(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    id: str
    room: str
    epoch: int = Field(description="The number of its agent; 2 has taken the place of the first.")
    assistant: str = Field(description="Empty: the default one.")
    caller: str = Field(description="Hash of the caller's address or number; empty: unknown.")
    kind: CallKind
    state: CallState
    agent: str = Field(description="Its identity in the room; empty: none has come yet.")
    worker: str
    job: str
    keep: Keep = Field(description="The part of the call that stays after its end.")
    keep_days: int | None
    last_beat: datetime = Field(description="The last sign of life of its agent.")
    started_at: datetime
    answered_at: datetime | None
    ended_at: datetime | None
    updated_at: datetime
    reason: str = Field(description="Why it ended.")
    items: int = Field(description="The number of the newest item.")
    voiced: str = Field(description="The words of the reply under way that the caller received.")
    tools_in_flight: Sequence[Mapping[str, Any]]
    metadata: Mapping[str, Any]

    @classmethod
    def of(cls, call: Call) -> Self:
        return cls.model_validate(call)


class CallItemRead(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    number: int = Field(description="From 1, in the order of arrival.")
    id: str
    role: ItemRole
    text: str
    tool_calls: Sequence[Mapping[str, Any]] = Field(
        description="Each has `call_id`, `name`, `arguments`, `output` and `is_error`."
    )
    interrupted_at: int | None = Field(
        description="Words that the caller received of an interrupted reply, which are its text."
    )
    receipt: Mapping[str, Any] = Field(
        description="How a reply came about: connection, model, times (s) and attempts."
    )
    epoch: int
    created_at: datetime

    @classmethod
    def of(cls, item: CallItem) -> Self:
        return cls.model_validate(item)


class CallQuery(PageQuery):
    state: CallState | None = None
    kind: CallKind | None = None
    assistant: ShortText = ""
    room: ShortText = ""
    caller: ShortText = ""
    worker: ShortText = ""
    started_from: AwareDatetime | None = None
    started_to: AwareDatetime | None = Field(default=None, description="Exclusive.")
    text: ShortText = Field(default="", description="Occurs in what was said, in any case.")

    @property
    def filters(self) -> CallFilters:
        return CallFilters(**self.model_dump(exclude={"limit", "offset"}))


class ItemQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    after: int = Field(default=0, ge=0, le=10**6, description="Items with a higher number.")
    limit: int = Field(default=200, ge=1, le=1000)


class CallPage(Page):
    items: list[CallRead]


class CallDetail(BaseModel):
    call: CallRead
    items: list[CallItemRead]
