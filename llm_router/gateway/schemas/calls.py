"""Defines calls and what was said in them as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator

from llm_router.gateway.schemas.base import Page, PageQuery, ShortText, StrictModel
from llm_router.gateway.schemas.usage import UsageQuery
from llm_router.routing.attempt import Role
from llm_router.store.analytics import Span
from llm_router.store.call_figures import CallFigures
from llm_router.store.dialects import TimeUnit
from llm_router.voice.calls import (
    TRIAL,
    AttemptFilters,
    Call,
    CallFilters,
    CallItem,
    CallKind,
    CallState,
    ItemRole,
    Keep,
)
from llm_router.voice.supervision import LISTENS_FOR, MAX_WHISPER, Seat
from llm_router.voice.workers import WorkerReport

_OF_ATTEMPTS = tuple(field.name for field in fields(AttemptFilters))


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

    @field_validator("metadata")
    @classmethod
    def _without_trial(cls, metadata: Mapping[str, Any]) -> Mapping[str, Any]:
        """Leaves out what is tried out in the call: it is sealed, and long."""
        return {name: value for name, value in metadata.items() if name != TRIAL}

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
    reason: ShortText = Field(default="", description="Why it ended.")
    text: ShortText = Field(default="", description="Occurs in what was said, in any case.")
    connection_id: ShortText = Field(default="", description="Some attempt was on it.")
    pool: ShortText = Field(default="", description="Some attempt was on a connection of it.")
    role: Role | None = Field(default=None, description="Some attempt had it.")
    outcome: ShortText = Field(
        default="", description="Some attempt had it; `failed` stands for every failure."
    )
    avoided_silence: bool = Field(
        default=False, description="Some failover, hedge or resume has spared the caller silence."
    )

    @property
    def filters(self) -> CallFilters:
        """The conditions; those on attempts must all be met by one and the same."""
        given = self.model_dump(exclude={"limit", "offset"}, exclude_none=True)
        attempts = {name: given.pop(name) for name in _OF_ATTEMPTS if name in given}
        return CallFilters(**given, attempts=AttemptFilters(**attempts))


class CallFiguresQuery(StrictModel):
    since: AwareDatetime | None = Field(
        default=None, description="Rounded as in `GET /api/analytics/timeseries`."
    )
    until: AwareDatetime | None = None
    bucket: TimeUnit = "day"
    assistant: ShortText | None = None
    kind: CallKind | None = None

    def span(self, now: datetime) -> Span:
        usage = UsageQuery(since=self.since, until=self.until, assistant=self.assistant)
        return usage.span(now, self.bucket)


class CallFiguresGroup(BaseModel):
    """The figures of the calls of one hour or day, or of one assistant."""

    at: datetime | None = None
    assistant: str | None = None
    figures: CallFigures


class CallFiguresRead(BaseModel):
    """Counts of the stored calls that began in a span, and of their ends."""

    since: datetime
    until: datetime
    bucket: TimeUnit
    figures: CallFigures
    items: Sequence[CallFiguresGroup] = Field(description="Hours or days without a call are out.")
    assistants: Sequence[CallFiguresGroup]


class WorkerRead(BaseModel):
    """A worker that takes calls, as it was some seconds ago."""

    name: str
    agent_name: str
    takes_calls: bool = Field(description="False: its call processes do not come up.")
    calls: int = Field(description="That it has now.")
    load: float = Field(description="From 0 to 1.")
    limit: float = Field(description="Load from which on it is sent no call; 0: none.")
    ready: int = Field(description="Processes that wait for a call.")
    has_place: bool
    places: int | None = Field(
        description="About how many more calls it can take; null: unknown, as it has none."
    )
    started_at: datetime
    seen_at: datetime

    @classmethod
    def of(cls, worker: WorkerReport) -> Self:
        load = worker.load
        return cls(
            name=worker.name,
            agent_name=worker.agent_name,
            takes_calls=worker.takes_calls,
            calls=load.calls,
            load=load.load,
            limit=load.limit,
            ready=load.ready,
            has_place=load.has_place,
            places=load.places,
            started_at=worker.started_at,
            seen_at=worker.seen_at,
        )


class WorkerList(BaseModel):
    items: Sequence[WorkerRead]


class ItemQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    after: int = Field(default=0, ge=0, le=10**6, description="Items with a higher number.")
    limit: int = Field(default=200, ge=1, le=1000)


class CallPage(Page):
    items: list[CallRead]


class CallDetail(BaseModel):
    call: CallRead
    items: list[CallItemRead]


class ListenRequest(StrictModel):
    seconds: int = Field(
        default=LISTENS_FOR[1],
        ge=LISTENS_FOR[0],
        le=LISTENS_FOR[2],
        description="For which you may listen.",
    )


class WhisperRequest(StrictModel):
    text: str = Field(min_length=1, max_length=MAX_WHISPER, description="The instruction.")


class SeatRead(BaseModel):
    """Your way into the room of a call, as LiveKit's clients take it."""

    model_config = ConfigDict(from_attributes=True)
    server_url: str
    participant_token: str = Field(description="For this room alone; use it within a minute.")
    identity: str
    room: str

    @classmethod
    def of(cls, seat: Seat) -> Self:
        return cls.model_validate(seat)
