"""What the routes of usage and analytics take and answer."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from llm_router.gateway.schemas.connections import Given, Text
from llm_router.store.analytics import Figures, GroupKey, Span
from llm_router.store.dialects import TimeUnit
from llm_router.store.usage import UsageRecord
from llm_router.types import Integration

_USUAL: Mapping[TimeUnit | None, timedelta] = {
    "hour": timedelta(days=1),
    "day": timedelta(days=30),
    None: timedelta(days=7),
}
"""For how long, unless somebody says."""
_FIRST, _LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
"""Nothing was used before or will have been after; nearer the ends of the calendar, sums of times
fail."""


class SpanWanted(Given):
    """Of which attempts."""

    since: AwareDatetime | None = Field(
        default=None,
        description="Rounded down to the hour, or to the day (UTC) of more than two days. Unless"
        " given: a day before `until` by the hour, 30 days by the day, else 7 days.",
    )
    until: AwareDatetime | None = Field(
        default=None, description="Rounded up in the same way; now, unless given."
    )
    pool: Text | None = None
    integration: Integration | None = None

    def span(
        self, now: datetime, by: TimeUnit | None = None, connection_id: str | None = None
    ) -> Span:
        until = _within(self.until or now)
        return Span(
            since=_within(self.since or until - _USUAL[by]),
            until=until,
            by=by,
            connection_id=connection_id,
            pool=self.pool,
            integration=self.integration,
        )


def _within(time: datetime) -> datetime:
    return min(max(time, _FIRST), _LAST)


class SeriesWanted(SpanWanted):
    bucket: TimeUnit = Field(
        default="day", description="Of UTC. By the hour, at most two days can be asked for."
    )


class Group(BaseModel):
    """The figures of one group of attempts: those that began in the hour or day that began `at`, or
    were on that connection, or in that pool, or for that integration.
    """

    at: datetime | None = None
    connection_id: str | None = None
    name: str | None = Field(default=None, description="Of the connection, now or at its end.")
    pool: str | None = None
    integration: str | None = None
    figures: Figures


def groups(found: Mapping[GroupKey, Figures], *by: str) -> list[Group]:
    return [
        Group(**dict(zip(by, key, strict=True)), figures=figures) for key, figures in found.items()
    ]


class Summary(BaseModel):
    since: datetime
    until: datetime
    figures: Figures
    pools: Sequence[Group]
    integrations: Sequence[Group] = Field(
        description="`livekit`, `mcp`, `automation`, or empty where a request did not say."
    )


class Series(BaseModel):
    """Hours or days with no attempt are left out."""

    since: datetime
    until: datetime
    bucket: TimeUnit
    items: Sequence[Group]


class ByConnection(BaseModel):
    """The most used first."""

    since: datetime
    until: datetime
    items: Sequence[Group]


class UsedShown(BaseModel):
    """One attempt. Times in seconds."""

    model_config = ConfigDict(from_attributes=True)
    at: datetime
    model: str
    pool: str
    integration: str
    session_id: str
    reply_id: str = Field(description="The attempts of one reply share it.")
    role: str = Field(description="Why it was started: first, hedge, failover, resume or trial.")
    outcome: str = Field(description="won, lost, cancelled, or a failure class.")
    delivered: bool = Field(description="Whether the caller was given any part of it.")
    ttft: float | None = Field(description="To the first word; null: there was none.")
    ttfc: float | None = Field(description="To the first clause.")
    duration: float
    silence_avoided: float | None
    tokens_in: int
    tokens_out: int
    tokens_cached: int
    is_estimated: bool = Field(description="The tokens: the server did not count them.")
    cost: float | None = Field(description="null: no price is known.")


class UsageWanted(SeriesWanted):
    latest: Annotated[int, Field(ge=0, le=500, description="How many single attempts.")] = 50


class ConnectionUsage(Series):
    figures: Figures
    spent_this_month: float = Field(description="Since the month (UTC) began.")
    monthly_budget: float | None
    latest: Sequence[UsedShown] = Field(description="The last attempts, the newest first.")


def shown(attempts: Sequence[UsageRecord]) -> list[Any]:
    return [UsedShown.model_validate(attempt) for attempt in attempts]
