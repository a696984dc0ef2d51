"""Tests what becomes of a call that comes in, by its number and its hour."""

from datetime import UTC, datetime
from pathlib import Path

from agent.budget import CallLimits
from agent.dispatch import Dispatch
from agent.phone.inbound import Inbound, inbound_of
from llm_router.voice.phone.setup_file import read_phone

SETUP = read_phone(
    """
    [[trunks]]
    name = "carrier"
    max_minutes = 10.0
    headers = ["X-Account"]

    [[numbers]]
    number = "+15550100"
    assistant = "shop"
    hours = "day"
    keys = { "1" = "When are you open?" }

    [[numbers]]
    number = "+15550101"
    assistant = "shop"
    hours = "day"
    closed = "night"

    [hours.day]
    timezone = "UTC"
    thursday = ["9:00-17:00"]

    [voicemail]
    greeting = "We are closed."
    max_seconds = 30.0
    folder = "recordings"
    """,
    "phone.toml",
    {},
)
OPEN = datetime(2026, 1, 1, 16, 59, tzinfo=UTC)  # a Thursday
CLOSED = datetime(2026, 1, 1, 17, 1, tzinfo=UTC)


def called(number: str, at: datetime) -> Inbound:
    found = inbound_of(SETUP, f"phone-_{number}_x7", at)
    assert found
    return found


def test_a_number_has_its_assistant_within_its_hours() -> None:
    inbound = called("+15550100", OPEN)
    assert inbound.assistant(Dispatch()) == "shop"
    assert inbound.voicemail is None
    assert inbound.keys == {"1": "When are you open?"}


def test_a_closed_number_has_another_assistant_or_takes_a_message() -> None:
    assert called("+15550101", CLOSED).assistant(Dispatch()) == "night"
    assert called("+15550101", CLOSED).voicemail is None
    voicemail = called("+15550100", CLOSED).voicemail
    assert voicemail
    assert (voicemail.greeting, voicemail.rules.longest) == ("We are closed.", 30.0)
    assert voicemail.recordings
    assert (voicemail.recordings.folder, voicemail.recordings.seconds) == (Path("recordings"), 30.0)


def test_a_later_agent_of_a_call_is_the_assistant_of_the_first() -> None:
    inbound = called("+15550100", OPEN)
    assert inbound.assistant(Dispatch(epoch=2, assistant="other")) == "other"
    assert inbound.assistant(Dispatch(assistant="other")) == "shop"


def test_a_call_ends_kindly_before_its_line_is_cut() -> None:
    inbound = called("+15550100", OPEN)
    assert inbound.limits(CallLimits()).seconds == 570.0
    assert inbound.limits(CallLimits(seconds=3600)).seconds == 570.0
    assert inbound.limits(CallLimits(seconds=60)).seconds == 60.0


def test_no_question_interrupts_a_message() -> None:
    limits = CallLimits(silence=60)
    assert called("+15550100", CLOSED).limits(limits).silence == 0
    assert called("+15550100", OPEN).limits(limits).silence == 60


def test_a_line_that_takes_all_numbers_has_its_headers_and_its_limit_for_each() -> None:
    trunk = SETUP.trunks[0].model_copy(
        update={"name": "others", "other_numbers": "desk", "max_minutes": 2.0}
    )
    setup = SETUP.model_copy(update={"trunks": (*SETUP.trunks, trunk)})
    inbound = inbound_of(setup, "phone-_+15550199_x7", OPEN)
    assert inbound
    assert inbound.trunk is trunk
    assert inbound.assistant(Dispatch(assistant="desk")) == "desk"
    assert inbound.limits(CallLimits(silence=60)) == CallLimits(seconds=90.0, silence=60)
    assert (inbound.voicemail, inbound.keys) == (None, {})
    assert inbound_of(setup, "phone-out-1", OPEN) is None


def test_other_rooms_and_unknown_numbers_are_no_business_of_the_file() -> None:
    for room in ("lobby", "phone-outbound-1", "phone-_+15550199_x7", "phone-"):
        assert inbound_of(SETUP, room, OPEN) is None
