"""Defines usage and analytics as JSON."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from llm_router.gateway.schemas.base import Limit, Offset, Page, ShortText, StrictModel
from llm_router.routing.attempt import Role
from llm_router.store.analytics import GroupKey, Order, Span
from llm_router.store.dialects import TimeUnit
from llm_router.store.usage_figures import Figures
from llm_router.types import Integration

_DEFAULT_SPANS: Mapping[TimeUnit | None, timedelta] = {
    "hour": timedelta(days=1),
    "day": timedelta(days=30),
    None: timedelta(days=7),
}
"""Unless the query says otherwise."""
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)
"""No attempt is outside; nearer the ends of the calendar, sums of times fail."""


class UsageQuery(StrictModel):
    """Selects attempts."""

    since: AwareDatetime | None = Field(
        default=None,
        description="Rounded down to the hour, or to the day (UTC) of more than two days. Unless"
        " given: a day before `until` by the hour, 30 days by the day, else 7 days.",
    )
    until: AwareDatetime | None = Field(
        default=None, description="Rounded up in the same way; now, unless given."
    )
    pool: ShortText | None = None
    integration: Integration | None = None
    assistant: ShortText | None = Field(
        default=None,
        description="That has asked, in calls and in writing. For admins, and for all connections"
        " together.",
    )

    def span(
        self, now: datetime, by: TimeUnit | None = None, connection_id: str | None = None
    ) -> Span:
        until = _within(self.until or now)
        return Span(
            since=_within(self.since or until - _DEFAULT_SPANS[by]),
            until=until,
            by=by,
            connection_id=connection_id,
            pool=self.pool,
            integration=self.integration,
            assistant=self.assistant,
        )


def _within(time: datetime) -> datetime:
    return min(max(time, _EARLIEST), _LATEST)


class AnalyticsQuery(UsageQuery):
    connection_id: ShortText | None = None

    def chosen(self, now: datetime, by: TimeUnit | None = None) -> Span:
        return self.span(now, by, self.connection_id)


class UsageTimeseriesQuery(UsageQuery):
    bucket: TimeUnit = Field(
        default="day", description="Of UTC. By the hour, at most two days can be asked for."
    )


class AnalyticsSeriesQuery(AnalyticsQuery, UsageTimeseriesQuery):
    """Selects attempts, by the hour or by the day."""


class UsageGroup(BaseModel):
    """The figures of one group of attempts.

    The group has the field that it is grouped by: the start of its hour or day in `at`, its
    connection, its pool, its integration or its assistant.
    """

    at: datetime | None = None
    connection_id: str | None = None
    name: str | None = Field(
        default=None, description="Of the connection, now or when it was removed."
    )
    pool: str | None = None
    integration: str | None = None
    assistant: str | None = None
    figures: Figures


def groups(found: Mapping[GroupKey, Figures], *by: str) -> list[UsageGroup]:
    return [
        UsageGroup(**dict(zip(by, key, strict=True)), figures=figures)
        for key, figures in found.items()
    ]


class UsageSummary(BaseModel):
    since: datetime
    until: datetime
    figures: Figures
    pools: Sequence[UsageGroup]
    integrations: Sequence[UsageGroup] = Field(
        description="`livekit`, `mcp`, `automation`, or empty if the request did not say."
    )
    assistants: Sequence[UsageGroup] = Field(
        description="For admins, where no connection is named. Empty name: programs, and what was"
        " counted before assistants were."
    )


class UsageTimeseries(BaseModel):
    """Hours or days with no attempt are left out."""

    since: datetime
    until: datetime
    bucket: TimeUnit
    items: Sequence[UsageGroup]


class UsageByConnectionQuery(UsageQuery):
    order: Order = Field(
        default="attempts", description="The connections with the most come first."
    )
    limit: Limit = 100
    offset: Offset = 0


class UsageByConnection(Page):
    """The figures of each connection, as `order` says; only those with attempts."""

    since: datetime
    until: datetime
    items: Sequence[UsageGroup]


class AttemptRead(BaseModel):
    """An attempt of the usage log. Times are in seconds."""

    model_config = ConfigDict(from_attributes=True)
    at: datetime
    model: str
    pool: str
    integration: str
    session_id: str
    reply_id: str = Field(description="The attempts of one reply share it.")
    role: str = Field(description=f"Why it was started: {', '.join(get_args(Role))}.")
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


class ConnectionUsageQuery(UsageTimeseriesQuery):
    latest: Annotated[int, Field(ge=0, le=500, description="How many single attempts.")] = 50


class ConnectionUsageRead(UsageTimeseries):
    figures: Figures
    spent_this_month: float = Field(description="Since the month (UTC) began.")
    monthly_budget: float | None
    latest: Sequence[AttemptRead] = Field(description="The last attempts, the newest first.")
