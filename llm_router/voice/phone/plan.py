"""Defines a planned call: a number to dial, when it may be dialed, and how often. No I/O.

A planned call is dialed only inside its window: from `earliest` to `latest`, and on each day only
in its `hours`, both by the clock of its `timezone`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from llm_router.errors import ConfigurationError
from llm_router.voice.assistant import NAME_PATTERN, Text
from llm_router.voice.phone.numbers import EMERGENCY_SOMEWHERE, is_emergency, parse_number
from llm_router.voice.phone.records import known_zone

PlanStatus = Literal["waiting", "preparing", "dialing", "ringing", "answered", "done", "cancelled"]
"""`preparing`: its agent is called, the number is not dialed yet. `answered`: the call goes on."""
PlanOutcome = Literal[
    "person",
    "voicemail",
    "machine",
    "answered",
    "busy",
    "declined",
    "no_answer",
    "invalid",
    "blocked",
    "capacity",
    "failed",
    "no_agent",
    "expired",
    "unknown",
]
"""`voicemail`: words were left on a machine; `machine`: one answered and nothing was left.
`answered`: by whom is not known. `expired`: its window has closed. `unknown`: the process that
dialed it has died, or LiveKit's answer was lost; it may have been answered, so it is not dialed
again."""
UNDER_WAY: frozenset[PlanStatus] = frozenset({"preparing", "dialing", "ringing", "answered"})
LASTS = timedelta(days=1)
"""Time for which a plan without a `latest` may be dialed."""
MAX_AHEAD = timedelta(days=366)
"""Time after which no plan may begin or last."""
TOO_EARLY = "is more than a year ahead; plan the call later"
"""Why a plan that begins after it is refused."""
_MAX_DAYS_SEARCHED = 370
_CLOCK = "([01][0-9]|2[0-3]):[0-5][0-9]"
_HOURS = rf"^{_CLOCK}-({_CLOCK}|24:00)$"
_VARIABLE_NAME = r"^[a-z][a-z0-9_]{0,39}$"
_MOST_VARIABLES = 20
_MIDNIGHT = "24:00"
_FIRST_YEAR, _LAST_YEAR = 2000, 2200


def _dialled(text: str) -> str:
    number = parse_number(text)
    if is_emergency(number, EMERGENCY_SOMEWHERE):
        raise ValueError("is an emergency number, which no agent may call; use a telephone")
    return number


def _in_order(hours: str) -> str:
    if hours:
        opens, closes = hours.split("-")
        if opens >= closes:
            raise ValueError("must begin before they end, on the same day")
    return hours


def _in_our_age(at: datetime) -> datetime:
    if not _FIRST_YEAR <= at.year <= _LAST_YEAR:  # others cannot be moved between time zones
        raise ValueError(f"must be in a year from {_FIRST_YEAR} to {_LAST_YEAR}")
    return at


def _few(variables: Mapping[str, str]) -> Mapping[str, str]:
    if len(variables) > _MOST_VARIABLES:
        raise ValueError(f"must be at most {_MOST_VARIABLES}")
    return variables


Number = Annotated[str, StringConstraints(max_length=64), AfterValidator(_dialled)]
"""A number as E.164 writes it, or an extension of a telephone system."""
_ZoneName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_+/-]{0,59}$"), AfterValidator(known_zone)
]
_Hours = Annotated[str, StringConstraints(pattern=rf"^$|{_HOURS}"), AfterValidator(_in_order)]
_Time = Annotated[datetime, AfterValidator(_in_our_age)]
_Value = Annotated[Text, Field(max_length=300)]
_Key = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{0,100}$")]


class CallPlan(BaseModel):
    """The plan of a person or a program: one number to call, with an assistant."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
        json_schema_extra={
            "examples": [
                {
                    "number": "+15550123456",
                    "assistant": "reminders",
                    "variables": {"name": "Ann Lee", "appointment": "Tuesday at ten"},
                    "timezone": "Europe/Berlin",
                    "hours": "09:00-18:00",
                    "retry_after_minutes": [10, 60],
                    "idempotency_key": "appointment-4711",
                }
            ]
        },
    )

    number: Number
    """Telephone number, as +4930123456, or an extension of a telephone system."""
    assistant: Annotated[str, StringConstraints(pattern=rf"^$|{NAME_PATTERN}")] = ""
    """Assistant that speaks; empty: the default one."""
    variables: Annotated[
        dict[Annotated[str, StringConstraints(pattern=_VARIABLE_NAME)], _Value],
        AfterValidator(_few),
    ] = {}
    """Values for {{names}} in the assistant's instructions and greeting."""
    voicemail: Annotated[Text, Field(max_length=1_000)] = ""
    """Words to leave when a machine answers; empty: the call is ended without a word."""
    detect_machine: Annotated[bool, Field(strict=True)] = True
    """Whether the agent first listens for an answering machine."""
    timezone: _ZoneName = "UTC"
    """Time zone of the number, for the times below."""
    earliest: _Time | None = None
    """Time before which it is not dialed; without an offset, in its time zone. None: now."""
    latest: _Time | None = None
    """Time from which on it is not dialed any more. None: a day after `earliest`."""
    hours: _Hours = ""
    """Hours of each day in which it may be dialed, as 09:00-18:00. Empty: all day."""
    retry_after_minutes: Annotated[
        tuple[Annotated[int, Field(ge=1, le=10_080)], ...], Field(max_length=10)
    ] = ()
    """Pauses before it is dialed again where no one could be reached; empty: never again."""
    idempotency_key: _Key = ""
    """The same plan again with this key changes nothing; empty: each plan is a new call."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.earliest and self.latest and self.local(self.earliest) >= self.local(self.latest):
            raise ValueError("latest: must be later than earliest")
        return self

    def local(self, at: datetime) -> datetime:
        """Returns a time in UTC; one without an offset is in the plan's time zone."""
        aware = at if at.tzinfo else at.replace(tzinfo=ZoneInfo(self.timezone))
        return aware.astimezone(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCall:
    """A stored plan, and how far it is. All times are in UTC.

    `attempt` counts how often it was begun to dial, `next_at` is when it is next; None: not any
    more. `room` is that of the last attempt, by which its call is found. `holder` is the process
    that dials it.
    """

    id: str
    number: str
    assistant: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    voicemail: str = ""
    detect_machine: bool = True
    timezone: str = "UTC"
    earliest: datetime
    latest: datetime
    hours: str = ""
    retry_after_minutes: Sequence[int] = ()
    idempotency_key: str = ""
    author: str = ""
    status: PlanStatus = "waiting"
    outcome: str = ""
    reason: str = ""
    attempt: int = 0
    next_at: datetime | None = None
    room: str = ""
    holder: str = ""
    dialed_at: datetime | None = None
    created_at: datetime
    updated_at: datetime

    def __repr__(self) -> str:  # a log may have it, but no number and no name
        return f"<PlannedCall {self.id} {self.status} {self.outcome} attempt {self.attempt}>"


def is_too_early(plan: CallPlan, now: datetime) -> bool:
    """Returns whether the call begins so far ahead that it may not be planned yet."""
    return plan.earliest is not None and plan.local(plan.earliest) > now + MAX_AHEAD


def planned(plan: CallPlan, *, call_id: str, author: str, now: datetime) -> PlannedCall:
    """Returns the call that a plan asks for. One whose window is closed for good has expired.

    Raises ConfigurationError for one that begins later than it may be planned.
    """
    if is_too_early(plan, now):
        raise ConfigurationError(f"earliest: {TOO_EARLY}")
    earliest = max(plan.local(plan.earliest), now) if plan.earliest else now
    latest = plan.local(plan.latest) if plan.latest else earliest + LASTS
    call = PlannedCall(
        id=call_id,
        **plan.model_dump(exclude={"earliest", "latest"}),
        earliest=earliest,
        latest=min(latest, now + MAX_AHEAD),
        author=author,
        created_at=now,
        updated_at=now,
    )
    return _next(call, now, "expired")


def is_open(call: PlannedCall, at: datetime) -> bool:
    """Returns whether the call may be dialed at this time."""
    return call.earliest <= at < call.latest and _in_hours(call, at)


def next_time(call: PlannedCall, after: datetime) -> datetime | None:
    """Returns the first time from `after` on at which the call may be dialed, or None."""
    begin = max(after, call.earliest)
    if begin >= call.latest:
        return None
    candidates = [begin, *_openings(call, begin)] if call.hours else [begin]
    return next((at for at in candidates if is_open(call, at)), None)


def after_outcome(
    call: PlannedCall,
    outcome: PlanOutcome,
    now: datetime,
    *,
    reason: str = "",
    may_retry: bool = False,
) -> PlannedCall:
    """Returns the call after an attempt: done, or waiting for the next one inside its window.

    `may_retry`: whether the outcome is one after which a number may be dialed again.
    """
    ended = replace(call, outcome=outcome, reason=reason, holder="", updated_at=now)
    if not may_retry or call.attempt > len(call.retry_after_minutes):
        return replace(ended, status="done", next_at=None)
    pause = timedelta(minutes=call.retry_after_minutes[call.attempt - 1])
    return _next(ended, now + pause, outcome)


def taken_back(call: PlannedCall, now: datetime) -> PlannedCall:
    """Returns a call whose number was not dialed, although that had begun: it waits again."""
    back = replace(call, attempt=max(call.attempt - 1, 0), holder="", updated_at=now)
    return _next(back, now, "expired")


def put_off(
    call: PlannedCall, now: datetime, pause: timedelta, outcome: PlanOutcome, reason: str
) -> PlannedCall:
    """Returns a call that could not be dialed for a fault of the set-up, which counts as no try.

    It waits, with the reason, until its window closes: somebody may mend the fault until then.
    """
    back = taken_back(call, now + pause)
    waiting = replace(back, status="waiting", outcome=outcome, reason=reason, updated_at=now)
    return replace(waiting, next_at=back.next_at or call.latest)


def not_yet(call: PlannedCall, now: datetime) -> PlannedCall:
    """Returns a call that waits and may not be dialed now: it waits on, or its window has closed.

    One that could not be dialed ends with the outcome that it was put off for.
    """
    return _next(replace(call, updated_at=now), now, call.outcome or "expired")


def _next(call: PlannedCall, after: datetime, otherwise: str) -> PlannedCall:
    at = next_time(call, after)
    if at is None:
        return replace(call, status="done", outcome=otherwise, next_at=None)
    return replace(call, status="waiting", next_at=at)


def _in_hours(call: PlannedCall, at: datetime) -> bool:
    if not call.hours:
        return True
    opens, closes = call.hours.split("-")
    clock = f"{at.astimezone(ZoneInfo(call.timezone)):%H:%M}"
    return opens <= clock and (closes == _MIDNIGHT or clock < closes)


def _openings(call: PlannedCall, after: datetime) -> list[datetime]:
    """Lists the beginnings of the daily hours after a time, in UTC, until the window closes.

    Where the clocks go back an hour occurs twice, and both are listed; where they go forward, one
    that does not occur becomes an hour later. `is_open` has the last word on each.
    """
    zone = ZoneInfo(call.timezone)
    opens = time.fromisoformat(call.hours.split("-")[0])
    first = after.astimezone(zone).date()
    found: set[datetime] = set()
    for day in range(_MAX_DAYS_SEARCHED):
        on = first + timedelta(days=day)
        both = {_instant(on, opens, zone, fold) for fold in (0, 1)}
        if min(both) >= call.latest:
            break
        found |= {at for at in both if at > after}
    return sorted(found)


def _instant(on: date, at: time, zone: ZoneInfo, fold: Literal[0, 1]) -> datetime:
    local = datetime.combine(on, at, zone).replace(fold=fold)
    return local.astimezone(UTC)


def fill(text: str, variables: Mapping[str, str]) -> str:
    """Returns the text with {{name}} replaced by the variable of that name; unknown ones stay."""
    return re.sub(
        r"\{\{\s*([a-z][a-z0-9_]{0,39})\s*\}\}",
        lambda found: variables.get(found[1], found[0]),
        text,
    )
