"""Decides who answers a number at a given time. No clock: the time is an argument."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from llm_router.voice.phone.opening import MINUTES, OpeningHours
from llm_router.voice.phone.setup import VOICEMAIL, PhoneNumber, PhoneSetup


@dataclass(frozen=True, slots=True)
class Answer:
    """The assistant, or the voicemail, that takes a call."""

    number: PhoneNumber
    """The number that was called, as the file has it."""
    assistant: str
    """Assistant that speaks; it also takes the message of a voicemail."""
    is_open: bool
    """Whether the call comes within the hours of the number."""
    is_voicemail: bool
    """Whether the caller is asked for a message."""


def is_open(hours: OpeningHours, at: datetime) -> bool:
    """Returns whether `at`, which has a time zone, is within the hours.

    Hours are those of the clock on the wall: an hour that it repeats in autumn is open both times.
    """
    local = at.astimezone(hours.zone)
    minute = local.hour * 60 + local.minute
    today = local.date()
    return any(one.start <= minute < one.end for one in hours.on(today)) or any(
        minute < one.end - MINUTES for one in hours.on(today - timedelta(days=1))
    )


def answer_of(setup: PhoneSetup, called: str, at: datetime) -> Answer | None:
    """Returns who answers a called number at a time; None: the file does not have the number."""
    number = setup.find(called)
    if number is None:
        return None
    if number.hours is None or is_open(setup.hours[number.hours], at):
        return Answer(number, number.assistant, is_open=True, is_voicemail=False)
    if number.closed == VOICEMAIL:
        return Answer(number, number.assistant, is_open=False, is_voicemail=True)
    return Answer(number, number.closed, is_open=False, is_voicemail=False)
