"""Opening hours: who answers a number at a given time."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.voice.phone.hours import Answer, answer_of, is_open
from llm_router.voice.phone.opening import OpeningHours, Range
from llm_router.voice.phone.setup import PhoneSetup

BERLIN = ZoneInfo("Europe/Berlin")
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def hours(zone: str = "Europe/Berlin", **values: object) -> OpeningHours:
    return OpeningHours.model_validate({"timezone": zone, **values})


def at(text: str, zone: ZoneInfo = BERLIN) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


SHOP = hours(
    monday=["9:00-12:30", "14:00-18:00"],
    friday=["22:00-2:00"],
    holidays=["12-25", date(2026, 11, 30)],
    special={"2026-12-28": ["10-12"], "12-25": []},
)


@pytest.mark.parametrize(
    ("when", "opened"),
    [
        ("2026-11-23T08:59:59", False),
        ("2026-11-23T09:00", True),
        ("2026-11-23T12:29:59", True),
        ("2026-11-23T12:30", False),
        ("2026-11-23T17:59", True),
        ("2026-11-24T09:00", False),  # a Tuesday
        ("2026-11-27T21:59", False),
        ("2026-11-27T23:59", True),
        ("2026-11-28T01:59", True),  # still Friday's
        ("2026-11-28T02:00", False),
        ("2026-11-30T09:00", False),  # a Monday, but a holiday
        ("2026-12-28T09:00", False),  # a Monday with hours of its own
        ("2026-12-28T11:59", True),
        ("2026-12-28T14:00", False),
        ("2026-12-25T22:30", False),  # a Friday, but a holiday of every year
        ("2027-12-25T22:30", False),
    ],
)
def test_a_number_is_open_within_its_hours_and_closed_on_holidays(when: str, opened: bool) -> None:
    assert is_open(SHOP, at(when)) is opened


def test_the_night_before_a_holiday_lasts_until_its_end() -> None:
    party = hours(thursday=["22:00-4:00"], holidays=["2026-12-25"])
    assert is_open(party, at("2026-12-25T03:59"))
    assert not is_open(party, at("2026-12-25T04:00"))


def test_an_hour_that_the_clock_repeats_is_open_both_times() -> None:
    night = hours(sunday=["2:00-3:00"])
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert [is_open(night, first + timedelta(hours=n)) for n in (-1, 0, 1, 2)] == [
        False, True, True, False,
    ]  # fmt: skip


def test_an_hour_that_the_clock_leaves_out_is_never_open() -> None:
    night = hours(sunday=["2:00-3:00"])
    start = datetime(2026, 3, 29, 0, 0, tzinfo=UTC)
    assert not any(is_open(night, start + timedelta(minutes=n)) for n in range(180))


def test_the_clock_is_that_of_the_time_zone_not_of_the_caller() -> None:
    kathmandu = hours("Asia/Kathmandu", monday=["9:00-10:00"])  # 5:45 before UTC
    assert is_open(kathmandu, datetime(2026, 11, 23, 3, 15, tzinfo=UTC))
    assert not is_open(kathmandu, datetime(2026, 11, 23, 3, 14, tzinfo=UTC))
    samoa = hours("Pacific/Kiritimati", monday=["0:00-24:00"])  # 14 hours before UTC
    assert is_open(samoa, datetime(2026, 11, 22, 10, 0, tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("9-18", 540, 1080),
        ("09:00 \u2013 18:30", 540, 1110),
        ("0:00-24:00", 0, 1440),
        ("22:00-0:00", 1320, 1440),
        ("22:00-24:00", 1320, 1440),
        ("22:00-6:00", 1320, 1800),
    ],
)
def test_a_range_is_read_as_people_write_it(text: str, start: int, end: int) -> None:
    found = Range.parse(text)
    assert (found.start, found.end) == (start, end)
    assert Range.parse(str(found)) == found


MINUTE = st.integers(0, 1439)
RANGES = st.lists(
    st.tuples(MINUTE, st.integers(1, 1440)).map(
        lambda pair: Range(pair[0], pair[0] + min(pair[1], 1440))
    ),
    max_size=4,
)


@given(st.lists(RANGES, min_size=7, max_size=7), TIMES)
def test_hours_that_overlap_are_open_where_any_of_them_is(
    week: list[list[Range]], when: datetime
) -> None:
    together = hours("UTC", **dict(zip(DAYS, week, strict=True)))
    one_by_one = [
        hours("UTC", **{day: [one]})
        for day, ranges in zip(DAYS, week, strict=True)
        for one in ranges
    ]
    assert is_open(together, when) == any(is_open(each, when) for each in one_by_one)


@given(st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]), TIMES)
def test_a_week_that_is_always_open_is_never_closed(zone: str, when: datetime) -> None:
    assert is_open(hours(zone, **{day: ["0:00-24:00"] for day in DAYS}), when)
    assert not is_open(hours(zone), when)


@given(RANGES, TIMES, st.integers(-14, 14))
def test_the_answer_does_not_depend_on_how_the_time_is_written(
    ranges: list[Range], when: datetime, shift: int
) -> None:
    days: dict[str, Any] = dict.fromkeys(DAYS, ranges)
    shop = hours(**days)
    zone = timezone(timedelta(hours=shift))
    elsewhere = when.astimezone(zone)
    assert is_open(shop, when) == is_open(shop, elsewhere)


def test_who_answers_is_decided_by_the_number_and_its_hours() -> None:
    setup = PhoneSetup.model_validate(
        {
            "trunks": [{"name": "main"}],
            "hours": {"shop": SHOP},
            "numbers": [
                {"number": "+15550100", "assistant": "tea", "hours": "shop"},
                {"number": "+15550101", "assistant": "tea", "hours": "shop", "closed": "night"},
                {"number": "+15550102"},
            ],
        }
    )
    day, night = at("2026-11-23T10:00"), at("2026-11-23T20:00")

    def who(called: str, when: datetime) -> tuple[str, bool, bool] | None:
        answer = answer_of(setup, called, when)
        return (answer.assistant, answer.is_open, answer.is_voicemail) if answer else None

    assert who("15550100", day) == ("tea", True, False)
    assert who("15550100", night) == ("tea", False, True)
    assert who("15550101", day) == ("tea", True, False)
    assert who("15550101", night) == ("night", False, False)
    assert who("15550102", night) == ("default", True, False)
    assert who("15550103", day) is None
    assert isinstance(answer_of(setup, "+15550100", day), Answer)
