"""Serves what the telephone's file says, `/api/phone`: which numbers are answered, and by whom."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, Self

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from agent.phone.setup_file import PhoneFile
from llm_router.clock import Clock, utc_now
from llm_router.connections.rules import require_administrator
from llm_router.errors import ConfigurationError
from llm_router.gateway.deps import CurrentActor
from llm_router.voice.phone.hours import answer_of
from llm_router.voice.phone.opening import OpeningHours, Range
from llm_router.voice.phone.setup import VOICEMAIL, Outbound, Person, PhoneNumber, PhoneSetup


class PhoneNumberRead(BaseModel):
    """A number that is answered."""

    number: str
    trunk: str
    assistant: str
    hours: str | None = Field(description="Name of its hours; null: it is always open.")
    closed: str = Field(description="Outside of them: `voicemail`, or an assistant.")
    is_open: bool = Field(description="Whether it is open now.")
    answers_now: str = Field(description="`voicemail`, or the assistant that takes a call now.")

    @classmethod
    def of(cls, setup: PhoneSetup, number: PhoneNumber, now: datetime) -> Self:
        answer = answer_of(setup, number.number, now)
        is_voicemail = answer is not None and answer.is_voicemail
        return cls(
            number=number.number,
            trunk=setup.trunk_of(number).name,
            assistant=number.assistant,
            hours=number.hours,
            closed=number.closed,
            is_open=answer is None or answer.is_open,
            answers_now=VOICEMAIL if is_voicemail else answer.assistant if answer else "",
        )


class HoursRead(BaseModel):
    """Opening hours, as ranges such as `9:00-18:00`."""

    timezone: str
    monday: list[str]
    tuesday: list[str]
    wednesday: list[str]
    thursday: list[str]
    friday: list[str]
    saturday: list[str]
    sunday: list[str]
    holidays: list[str]
    special: dict[str, list[str]]

    @classmethod
    def of(cls, hours: OpeningHours) -> Self:
        week = zip(_WEEK, hours.week, strict=True)
        return cls(
            timezone=hours.timezone,
            **{day: _texts(ranges) for day, ranges in week},
            holidays=[*hours.holidays],
            special={day: _texts(ranges) for day, ranges in hours.special.items()},
        )


class OtherNumbersRead(BaseModel):
    """The assistant that answers the numbers that the file does not have."""

    trunk: str
    assistant: str


class OutboundRead(BaseModel):
    trunk: str
    fallback: list[str] = Field(description="Trunks that are tried next, in this order.")
    caller_id: str
    allowed_prefixes: list[str]

    @classmethod
    def of(cls, outbound: Outbound) -> Self:
        return cls.model_validate(outbound, from_attributes=True)


class PersonRead(BaseModel):
    name: str
    number: str
    about: str
    transfer: Literal["warm", "cold"]
    hours: str | None

    @classmethod
    def of(cls, person: Person) -> Self:
        return cls.model_validate(person, from_attributes=True)


class PhoneRead(BaseModel):
    """The telephone's file, without its passwords."""

    file: str
    fault: str = Field(description="What is wrong with the file; then the rest is as it was.")
    numbers: Sequence[PhoneNumberRead]
    other_numbers: OtherNumbersRead | None
    hours: Mapping[str, HoursRead]
    outbound: OutboundRead | None
    people: Sequence[PersonRead]

    @classmethod
    def of(cls, setup: PhoneSetup, now: datetime, *, file: str, fault: str) -> Self:
        trunk = setup.trunk_of_others
        others = None
        if trunk and trunk.other_numbers:
            others = OtherNumbersRead(trunk=trunk.name, assistant=trunk.other_numbers)
        return cls(
            file=file,
            fault=fault,
            numbers=[PhoneNumberRead.of(setup, number, now) for number in setup.numbers],
            other_numbers=others,
            hours={name: HoursRead.of(hours) for name, hours in setup.hours.items()},
            outbound=OutboundRead.of(setup.outbound) if setup.outbound else None,
            people=[PersonRead.of(person) for person in setup.people],
        )


_WEEK = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def phone_router(file: PhoneFile, clock: Clock) -> APIRouter:
    """Makes the route. It raises ForbiddenError for all but admins."""
    router = APIRouter(prefix="/api", tags=["phone"])

    @router.get("/phone", response_model=PhoneRead, operation_id="getPhone")
    async def get_phone(actor: CurrentActor) -> Response:
        """Returns what the telephone's file says, and who answers each number now. For admins."""
        require_administrator(actor, "the telephone")
        # Thousands of numbers are read and written beside the loop of all requests.
        body = await asyncio.to_thread(_read, file, utc_now(clock))
        return Response(body, media_type="application/json")

    return router


def _read(file: PhoneFile, now: datetime) -> str:
    fault = ""
    try:
        setup = file.read_now()
    except ConfigurationError as error:
        setup, fault = file.read(), str(error)
    return PhoneRead.of(setup, now, file=file.name, fault=fault).model_dump_json()


def _texts(ranges: Sequence[Range]) -> list[str]:
    return [str(each) for each in ranges]
