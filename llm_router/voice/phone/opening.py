"""Defines opening hours: ranges of the clock on days of the week, holidays and special days."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from llm_router.voice.phone.records import Record, known_zone

MINUTES = 24 * 60
"""Minutes of a day by the clock on the wall."""
_RANGE = re.compile(r"(\d{1,2})(?::(\d\d))?\s*[-\u2010-\u2015]\s*(\d{1,2})(?::(\d\d))?")
_DAY = re.compile(r"(?:(\d{4})-)?(\d\d)-(\d\d)")
_LEAP_YEAR = 2000


@dataclass(frozen=True, slots=True)
class Range:
    """A stretch of the clock, in minutes from midnight. One that ends past 1440 is over midnight
    and belongs to the day on which it begins.
    """

    start: int
    end: int

    @classmethod
    def parse(cls, value: object) -> Self:
        """Reads a range such as 9:00-18:00. Raises ValueError, which says how to write it."""
        if isinstance(value, cls):
            return value
        found = _RANGE.fullmatch(value.strip()) if isinstance(value, str) else None
        if not found:
            raise ValueError('is no range of hours; write one such as "9:00-18:00"')
        first, last = _minutes(found[1], found[2]), _minutes(found[3], found[4])
        if first is None or last is None or first == MINUTES:
            raise ValueError('is outside of the day; write hours from "0:00" to "24:00"')
        if first == last:
            raise ValueError('begins as it ends; for the whole day write "0:00-24:00"')
        return cls(first, last if last > first else last + MINUTES)

    def __str__(self) -> str:
        return f"{_clock(self.start)}-{_clock(self.end)}"


def _minutes(hours: str, minutes: str | None) -> int | None:
    total = int(hours) * 60 + int(minutes or 0)
    return total if total <= MINUTES and int(minutes or 0) < 60 else None  # noqa: PLR2004


def _clock(minutes: int) -> str:
    within = minutes if minutes <= MINUTES else minutes - MINUTES
    return f"{within // 60}:{within % 60:02}"


def _day(text: str) -> str:
    found = _DAY.fullmatch(text.strip())
    try:
        if found:
            date(int(found[1] or _LEAP_YEAR), int(found[2]), int(found[3]))
            return found[0]
    except ValueError:
        pass
    raise ValueError('is no day; write "2026-12-25", or "12-25" for that day of every year')


def _as_text(value: object) -> object:
    """Turns TOML's own dates into text: a day may be written with quotes or without."""
    return value.isoformat() if isinstance(value, date) else value


Ranges = Annotated[tuple[Annotated[Range, BeforeValidator(Range.parse)], ...], Field(max_length=20)]
Day = Annotated[str, BeforeValidator(_as_text), AfterValidator(_day)]


class OpeningHours(Record):
    """When a number is answered by its assistant, by the clock of one time zone."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    timezone: Annotated[str, Field(max_length=64), AfterValidator(known_zone)]
    """Name of the time zone, such as Europe/Berlin."""
    monday: Ranges = ()
    tuesday: Ranges = ()
    wednesday: Ranges = ()
    thursday: Ranges = ()
    friday: Ranges = ()
    saturday: Ranges = ()
    sunday: Ranges = ()
    holidays: Annotated[tuple[Day, ...], Field(max_length=1000)] = ()
    """Days that are closed: 2026-12-25, or 12-25 for that day of every year."""
    special: Mapping[Day, Ranges] = Field(default_factory=dict, max_length=1000)
    """Hours of single days, before those of the week and before holidays."""

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @cached_property
    def week(self) -> tuple[tuple[Range, ...], ...]:
        """The ranges of each day of the week, Monday first."""
        days = (self.monday, self.tuesday, self.wednesday, self.thursday)
        return (*days, self.friday, self.saturday, self.sunday)

    def on(self, day: date) -> tuple[Range, ...]:
        """Returns the ranges that begin on a day."""
        names = day.isoformat(), day.isoformat()[5:]
        for name in names:
            if name in self.special:
                return self.special[name]
        if any(name in self.holidays for name in names):
            return ()
        return self.week[day.weekday()]
